package source_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/services/internal/source"
)

const longParquet = `
time: {columns: [at], layout: timestamp}
long: {entity: {column: meter}, metric: voltage, value: {column: value}, unit: V}
`

// plain are the columns that longParquet names.
func plain() parquet.Group {
	return parquet.Group{
		"at": parquet.Timestamp(parquet.Millisecond), "meter": parquet.String(), "value": parquet.Leaf(parquet.DoubleType),
	}
}

// plainRows are good rows for it, one a second.
func plainRows(n int) (rows [][]any) {
	for i := range n {
		rows = append(rows, []any{1769860800000 + 1000*int64(i), "m1", math.Sqrt(float64(i))})
	}
	return rows
}

func TestParquetRefusals(t *testing.T) {
	t.Parallel()
	with := func(name string, node parquet.Node) parquet.Group {
		g := plain()
		g[name] = node
		return g
	}
	without := plain()
	delete(without, "value")
	at := func(time string) string { return strings.Replace(longParquet, "layout: timestamp", time, 1) }
	twice := "time: {columns: [at, value], layout: 2006-01-02 15:04:05, zone: UTC}\n" +
		"columns: [{column: value, entity: e, metric: m}]"
	cases := map[string]struct {
		schema  parquet.Group
		mapping string
		want    []string // each in the message
	}{
		"no mapping": {plain(), "", []string{
			`is Parquet; say what its columns mean with a mapping file (--mapping FILE) or with --column or --value; it has ` +
				`"at" (TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS)), "meter" (STRING), "value" (DOUBLE)`}},
		"a mapping for CSV": {plain(), "format: csv" + longParquet, []string{
			"is Parquet and the mapping's format is csv; remove the format"}},
		"a missing column": {without, longParquet, []string{
			`f.parquet: column "value" is not in the file; write one of "at", "meter", or #1 to #2`}},
		"a list": {with("value", parquet.List(parquet.Leaf(parquet.DoubleType))), longParquet, []string{
			`column "value" is LIST, which holds several values a row; write each as a column of its own`}},
		"a repeated column": {with("meter", parquet.Repeated(parquet.String())), longParquet, []string{
			`column "meter" is repeated STRING, which holds several values a row`}},
		"a group": {with("meter", parquet.Group{"id": parquet.String()}), longParquet, []string{
			`column "meter" is a group of columns, which holds several values a row`}},
		"all that is wrong": {parquet.Group{"at": parquet.Timestamp(parquet.Millisecond),
			"meter": parquet.Leaf(parquet.BooleanType), "value": parquet.Date()}, longParquet, []string{
			`column "meter" is BOOLEAN, which no part of a reading is; write it as text or as numbers`,
			`column "value" is DATE; expected numbers, or text that holds them`}},
		"a zone for moments": {plain(), at("layout: 2006-01-02 15:04, zone: Europe/Paris"), []string{
			`time: column "at" is TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS), which tells moments, so zone Europe/Paris ` +
				`has no effect; write layout: timestamp, and no zone`}},
		"no zone for local times": {with("at", parquet.TimestampAdjusted(parquet.Millisecond, false)), longParquet, []string{
			`which does not tell a zone; name that of the file's clock, such as zone: Europe/Paris or UTC`}},
		"no zone for dates": {with("at", parquet.Date()), longParquet, []string{
			`time: column "at" is DATE, which does not tell a zone`}},
		"no unit for integers": {with("at", parquet.Leaf(parquet.Int64Type)), longParquet, []string{
			`time: column "at" is INT(64,true); expected one of the layouts epoch_s, epoch_ms, epoch_us, epoch_ns`}},
		"no layout for text": {with("at", parquet.String()), longParquet, []string{
			`time: column "at" is STRING, which needs a layout; write it as the moment 2 January 2006`}},
		"times of the day": {with("at", parquet.Time(parquet.Millisecond)), longParquet, []string{
			`a time without its day; name the column of the day before it: columns: [DAY, at]`}},
		"a timestamp that is joined": {plain(), twice, []string{
			`time: column "at" is TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS) and tells day and hour; name it alone`}},
		"columns joined without a layout": {plain(),
			strings.Replace(twice, "layout: 2006-01-02 15:04:05", "layout: timestamp", 1), []string{
				`layout must say how that is written; for a DATE and a TIME it is "2006-01-02 15:04:05"`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m source.Mapping
			if c.mapping != "" {
				m = mapping(t, c.mapping)
			}
			_, err := source.OpenReader("f.parquet", bytes.NewReader(parquetFile(t, c.schema, nil)), 0, m)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %v; it should say %q", err, want)
				}
			}
		})
	}
	t.Run("a CSV for the layout timestamp", func(t *testing.T) {
		t.Parallel()
		_, err := source.OpenReader("f", strings.NewReader("at,meter,value\n"), 0, mapping(t, longParquet))
		if err == nil || !strings.Contains(err.Error(), "layout timestamp is for Parquet columns of that type; write it as") {
			t.Error(err)
		}
	})
	t.Run("a CSV in disguise", func(t *testing.T) {
		t.Parallel()
		_, err := source.OpenReader("f.parquet", strings.NewReader("at,meter,value\n"), 0, mapping(t, long))
		if err == nil || !strings.Contains(err.Error(), "f.parquet is no Parquet file: it does not begin with PAR1") {
			t.Error(err)
		}
	})
	t.Run("a pipe", func(t *testing.T) {
		t.Parallel()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		if _, err := w.Write(parquetFile(t, plain(), plainRows(3))); err != nil {
			t.Fatal(err)
		}
		_, err = source.OpenReader("standard input", r, 0, mapping(t, longParquet))
		if err == nil || !strings.Contains(err.Error(), "standard input is Parquet, which is read from its end, but it comes "+
			"packed or through a pipe; write it to a file as it is and publish that") {
			t.Error(err)
		}
	})
}

// TestParquetRows tells what is wrong with rows.
func TestParquetRows(t *testing.T) {
	t.Parallel()
	schema := parquet.Group{"at": parquet.Optional(parquet.TimestampAdjusted(parquet.Microsecond, false)),
		"meter": parquet.Optional(parquet.String()), "value": parquet.Optional(parquet.Leaf(parquet.DoubleType))}
	summer := utc("2007-03-25 01:00:00") / 1e3
	file := parquetFile(t, schema, [][]any{
		{summer, "m1", 1.5}, {nil, "m1", 1.5}, {summer, nil, 1.5}, {summer, "m1", nil}, {summer, "m1", math.NaN()},
		{summer + 5400e6, "m1", 1.5}, {int64(math.MaxInt64), "m1", 1.5}, {summer, "m\xFF", 1.5}, {summer, "m2", -999.0},
	})
	m := mapping(t, "absent: [\"-999\"]"+strings.Replace(longParquet, "timestamp", "timestamp, zone: Europe/Paris", 1))
	readings, bad, counts := readParquet(t, m, file)
	want := []string{
		`f.parquet: row 2: column at: found null, expected a time`,
		`f.parquet: row 3: column meter: found null, expected a name`,
		`f.parquet: row 5: column value: found "NaN", expected a number such as 234.84; ` +
			`if it means that there is no reading, add "NaN" to absent`,
		`f.parquet: row 6: column at: found "2007-03-25 02:30:00", expected a time that exists in Europe/Paris; ` +
			`the clock was put forward over this time; ` +
			`if the file's clock does not change in summer, name its zone: UTC, or Etc/GMT-1 for UTC+1`,
		`f.parquet: row 7: column at: found "294247-01-10 04:00:54.775807", expected a time in the years 1678 to 2261`,
		`f.parquet: row 8: column meter: found "m\xff", expected UTF-8; convert the file: iconv -f latin1 -t utf-8`,
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Error(diff)
	}
	if len(readings) != 1 || counts.Absent != 2 || counts.Rows != 9 {
		t.Errorf("%+v, %+v", readings, counts)
	}
}

// until reads a source until it ends or fails.
func until(s *source.Source) (readings int, err error) {
	for {
		_, _, err := s.Next()
		var row *source.RowError
		switch {
		case errors.As(err, &row):
		case err != nil:
			return readings, err
		default:
			readings++
		}
	}
}

// TestDamagedParquet damages a file in any place: nothing of it is read, or what
// stands before the damage, and an error says so.
func TestDamagedParquet(t *testing.T) {
	t.Parallel()
	const rows, group = 3000, 1000
	file := parquetFile(t, plain(), plainRows(rows), parquet.MaxRowsPerRowGroup(group), parquet.PageBufferSize(1024))
	m := mapping(t, longParquet)
	t.Run("CutShort", func(t *testing.T) {
		t.Parallel()
		for _, size := range []int{4, 5, 8, 11, 100, len(file) / 2, len(file) - 1} {
			_, err := source.OpenReader("f.parquet", bytes.NewReader(file[:size]), 0, m)
			if err == nil || !strings.Contains(err.Error(), "f.parquet: is cut short, or its writer is not done") ||
				!strings.Contains(err.Error(), "copy it again, or publish it when its writer is done") {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	})
	t.Run("WithAHugeFooter", func(t *testing.T) {
		t.Parallel()
		damaged := bytes.Clone(file)
		binary.LittleEndian.PutUint32(damaged[len(file)-8:], math.MaxUint32)
		_, err := source.OpenReader("f.parquet", bytes.NewReader(damaged), 0, m)
		if err == nil || !strings.Contains(err.Error(), "its footer of 4294967295 bytes is larger than the file") {
			t.Error(err)
		}
	})
	t.Run("InTheLastRowGroup", func(t *testing.T) {
		t.Parallel()
		footer := len(file) - 8 - int(binary.LittleEndian.Uint32(file[len(file)-8:]))
		damaged := bytes.Clone(file)
		for i := footer - 2000; i < footer; i++ {
			damaged[i] = 0xFF
		}
		s, err := source.OpenReader("f.parquet", bytes.NewReader(damaged), 0, m)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		n, err := until(s)
		if n < 2*group || n >= rows || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the file is corrupt or cut short") ||
			!strings.Contains(err.Error(), "the rows before it are read") {
			t.Errorf("%d readings, %v", n, err)
		}
	})
	t.Run("Anywhere", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			damaged := bytes.Clone(file)
			for range rapid.IntRange(1, 4).Draw(t, "places") {
				damaged[rapid.IntRange(0, len(file)-1).Draw(t, "place")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
			}
			s, err := source.OpenReader("f.parquet", bytes.NewReader(damaged), 0, m)
			if err != nil {
				return
			}
			defer s.Close()
			if n, err := until(s); err == nil || n > rows {
				t.Fatalf("%d readings, %v", n, err)
			}
		})
	})
}

// counting counts the bytes that are read.
type counting struct {
	*bytes.Reader
	bytes int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.bytes += n
	return n, err
}

// largeParquet is a file most of which is in a column that longParquet leaves out.
func largeParquet(t *testing.T, rows int) []byte {
	t.Helper()
	schema := plain()
	schema["zzz"] = parquet.String()
	all := plainRows(rows)
	filler := make([]byte, 16)
	for i := range all {
		binary.LittleEndian.PutUint64(filler, uint64(i)*0x9E3779B97F4A7C15)
		all[i] = append(all[i], string(filler))
	}
	return parquetFile(t, schema, all)
}

// TestParquetInBoundedMemory reads a file that is larger than the memory that
// reading it takes, and leaves the columns alone that no mapping names.
//
//nolint:paralleltest // it measures the memory of the process
func TestParquetInBoundedMemory(t *testing.T) {
	const rows = 400_000
	file := largeParquet(t, rows)
	r := &counting{Reader: bytes.NewReader(file)}
	s, err := source.OpenReader("f.parquet", r, 0, mapping(t, longParquet))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	for i := range rows {
		if _, _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		if i%40_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
			if read, total := s.Progress(); total != int64(len(file)) ||
				math.Abs(float64(read)/float64(total)-float64(i+1)/rows) > 1e-3 {
				t.Errorf("progress %d of %d after %d of %d rows", read, total, i+1, s.TotalRows())
			}
		}
	}
	if grown := int64(most) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes for a file of %d", grown, len(file))
	}
	if len(file) < 12<<20 || r.bytes > len(file)*2/3 || s.TotalRows() != rows {
		t.Errorf("read %d bytes of %d, %d rows", r.bytes, len(file), s.TotalRows())
	}
}
