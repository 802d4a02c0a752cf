package source_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/source"
)

const household = "../../../docs/data/household_power_consumption.txt.gz"

// mapping parses a mapping that must be right.
func mapping(t *testing.T, document string) source.Mapping {
	t.Helper()
	m, err := source.ParseMapping([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drain reads a source to its end and returns the readings and the messages of
// bad rows.
func drain(t testing.TB, s *source.Source) (readings []reading.Reading, bad []string) {
	t.Helper()
	for {
		r, _, err := s.Next()
		var row *source.RowError
		switch {
		case errors.Is(err, io.EOF):
			return readings, bad
		case errors.As(err, &row):
			bad = append(bad, err.Error())
		case err != nil:
			t.Fatal(err)
		default:
			readings = append(readings, r)
		}
	}
}

// read reads a text to its end.
func read(t testing.TB, m source.Mapping, text string) ([]reading.Reading, []string, source.Counts) {
	t.Helper()
	s, err := source.OpenReader("f.csv", strings.NewReader(text), 0, m)
	if err != nil {
		t.Fatal(err)
	}
	readings, bad := drain(t, s)
	return readings, bad, s.Counts()
}

func utc(text string) int64 {
	at, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return at.UnixNano()
}

const wide = `
delimiter: ";"
time: {columns: [Date, Time], layout: "2/1/2006 15:04:05", zone: Europe/Paris}
absent: ["?", ""]
columns:
  - {column: P, entity: m1, metric: active_power_mean, unit: kW, length: 1m}
  - {column: E, entity: m1.sub, metric: active_energy, unit: Wh, length: 1m, scale: 10}
`

const long = `
time: {columns: [at], layout: rfc3339}
long:
  entity: {column: meter}
  metric: {column: metric}
  value: {column: value}
  unit: {column: unit}
  quality: {column: quality}
  revision: {column: revision}
  length: {column: length}
`

func TestSource(t *testing.T) {
	t.Parallel()
	t.Run("ReadsAWideFile", func(t *testing.T) {
		t.Parallel()
		got, bad, counts := read(t, mapping(t, wide),
			"Date;Time;P;E\r\n16/12/2006;17:24:00;4.216;0\r\n6/1/2007;00:01:00;?;1.5\r\n")
		want := []reading.Reading{
			{EntityID: "m1", Metric: "active_power_mean", Unit: "kW", Time: utc("2006-12-16 16:24:00"),
				Value: 4.216, Length: time.Minute},
			{EntityID: "m1.sub", Metric: "active_energy", Unit: "Wh", Time: utc("2006-12-16 16:24:00"), Length: time.Minute},
			{EntityID: "m1.sub", Metric: "active_energy", Unit: "Wh", Time: utc("2007-01-05 23:01:00"),
				Value: 15, Length: time.Minute},
		}
		if diff := cmp.Diff(want, got); diff != "" || bad != nil {
			t.Error(diff, bad)
		}
		if diff := cmp.Diff(source.Counts{Rows: 2, Readings: 3, Absent: 1}, counts); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("ReadsALongFile", func(t *testing.T) {
		t.Parallel()
		got, bad, counts := read(t, mapping(t, long), "meter,metric,at,value,unit,quality,revision,length\n"+
			"m1,voltage,2026-01-31T12:00:00.5+01:00,-1e3,V,estimated,7,15m\n"+
			`"m,""2""","a `+"\n"+`b",2026-01-31T12:00:00Z,"1",,,,900`+"\n"+
			"m3,voltage,2026-01-31T12:00:00Z,,V,withdrawn,,\n"+
			"m4,voltage,2026-01-31T12:00:00Z,,V,actual,,\n")
		noon := utc("2026-01-31 12:00:00")
		want := []reading.Reading{
			{EntityID: "m1", Metric: "voltage", Unit: "V", Time: noon - 3600e9 + 500e6, Value: -1000,
				Quality: reading.Estimated, Revision: 7, Length: 15 * time.Minute},
			{EntityID: `m,"2"`, Metric: "a \nb", Time: noon, Value: 1, Length: 15 * time.Minute},
			{EntityID: "m3", Metric: "voltage", Unit: "V", Time: noon, Quality: reading.Withdrawn},
		}
		if diff := cmp.Diff(want, got); diff != "" || bad != nil {
			t.Error(diff, bad)
		}
		if counts.Rows != 4 || counts.Absent != 1 {
			t.Errorf("counts %+v", counts)
		}
	})
	t.Run("ReadsNDJSONWithoutAMapping", func(t *testing.T) {
		t.Parallel()
		got, bad, counts := read(t, source.Mapping{}, "\n"+
			`{"entity_id":"m1","metric":"voltage","time":"2026-01-31T12:00:00Z","value":"230.5","note":1}`+"\n"+
			`{"entity_id":"m1","metric":"voltage",`+"\n"+
			`{"entity":"m2","metric":"voltage","ts":1769860800,"value":1,"quality":"corrected","length":"PT15M"}`)
		noon := utc("2026-01-31 12:00:00")
		want := []reading.Reading{
			{EntityID: "m1", Metric: "voltage", Time: noon, Value: 230.5},
			{EntityID: "m2", Metric: "voltage", Time: noon, Value: 1, Quality: reading.Corrected, Length: 15 * time.Minute},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if len(bad) != 1 || !strings.HasPrefix(bad[0], "f.csv:3: ") {
			t.Errorf("bad rows: %q", bad)
		}
		if diff := cmp.Diff(source.Counts{Rows: 3, Readings: 2, Bad: 1, Unknown: 1}, counts); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("ReadsTheHouseholdExactly", testHousehold)
	t.Run("SaysThatAGzipIsCutShort", func(t *testing.T) {
		t.Parallel()
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = io.WriteString(w, "Date;Time;P;E\n16/12/2006;17:24:00;4.216;0\n")
		_ = w.Close()
		s, err := source.OpenReader("f.gz", bytes.NewReader(packed.Bytes()[:packed.Len()-6]), 0, mapping(t, wide))
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for last == nil {
			_, _, last = s.Next()
		}
		if !errors.Is(last, io.ErrUnexpectedEOF) || errors.Is(last, io.EOF) {
			t.Errorf("the error is %v", last)
		}
	})
	t.Run("ReadsTheSameHoweverTheBytesArrive", func(t *testing.T) {
		t.Parallel()
		text := "\uFEFFDate;Time;P;E\n16/12/2006;17:24:00;4.216;0\n# rest\n\n6/1/2007;00:01:00;?;1.5"
		m := mapping(t, "comment: \"#\"\n"+wide)
		want, _, _ := read(t, m, text)
		s, err := source.OpenReader("f", iotest.OneByteReader(strings.NewReader(text)), 0, m)
		if err != nil {
			t.Fatal(err)
		}
		got, bad := drain(t, s)
		if diff := cmp.Diff(want, got); diff != "" || bad != nil || len(got) != 3 {
			t.Error(diff, bad, len(got))
		}
	})
}

func testHousehold(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../../docs/data/household.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := source.Open(household, mapping(t, string(document)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	readings, bad := drain(t, s)
	if bad != nil {
		t.Errorf("bad rows: %q", bad)
	}
	// 48,424 rows of 7 columns, 5 of them without any value.
	want := source.Counts{Rows: 48424, Readings: 338933, Absent: 35}
	if diff := cmp.Diff(want, s.Counts()); diff != "" {
		t.Error(diff)
	}
	sums := map[string]float64{}
	for _, r := range readings {
		sums[r.EntityID+" "+r.Metric+" "+r.Unit] += r.Value
	}
	// Sums by awk over the same file.
	oracle := map[string]float64{
		"sceaux active_power_mean kW": 81858.886, "sceaux reactive_power_mean kvar": 6624.280,
		"sceaux voltage_mean V": 11671978.170, "sceaux current_mean A": 346102.800,
		"sceaux.kitchen active_energy Wh": 53743, "sceaux.laundry active_energy Wh": 94358,
		"sceaux.heating active_energy Wh": 353210,
	}
	if diff := cmp.Diff(oracle, sums, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-3 })); diff != "" {
		t.Error(diff)
	}
	first, last := readings[0].Time, readings[len(readings)-1].Time
	if first != utc("2006-12-16 16:24:00") || last != utc("2007-01-19 07:27:00") {
		t.Errorf("from %v to %v", time.Unix(0, first).UTC(), time.Unix(0, last).UTC())
	}
	info, err := os.Stat(household)
	if err != nil {
		t.Fatal(err)
	}
	if read, total := s.Progress(); read != info.Size() || total != info.Size() {
		t.Errorf("progress %d of %d, the file has %d", read, total, info.Size())
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := mapping(t, wide)
	cases := map[string]struct {
		mapping source.Mapping
		content string
		want    string
	}{
		"a file without a header is refused": {m, "", "is empty; expected a header line"},
		"a missing column is named with what exists": {
			m, "Date;Zeit;P;E\n", `column "Time" is not in the header; write one of "Date", "Zeit", "P", "E", or #1 to #4`},
		"a column that stands twice is refused": {
			m, "Date;Time;P;P;E\n", `column "P" stands in the header twice, as #3 and #4`},
		"CSV without a mapping is refused": {source.Mapping{}, "a;b\n", "say what its columns mean"},
		"a JSON array is refused":          {source.Mapping{}, ` [{}]`, "jq -c '.[]'"},
		"UTF-16 is refused":                {m, "\xFF\xFEa\x00", "iconv -f utf-16"},
		"a zip archive is refused":         {m, "PK\x03\x04", "unzip -p"},
		"a false gzip is refused":          {m, "\x1F\x8Bxyzxyzxyzxyz", "begins as a gzip but is none"},
		"a mapping's faults are reported": {
			source.Mapping{Format: "xml"}, "", `format "xml" is not known; use csv, parquet or ndjson`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_"))
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := source.Open(path, c.mapping)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v; it should say %q", err, c.want)
			}
		})
	}
	t.Run("a directory is refused", func(t *testing.T) {
		if _, err := source.Open(dir, m); err == nil || !strings.Contains(err.Error(), "is a directory") {
			t.Error(err)
		}
	})
}
