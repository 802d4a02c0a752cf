package source_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/source"
)

// parquetFile writes a file with the columns of a schema in the order of their
// names. A row holds a value for each, nil for null.
func parquetFile(tb testing.TB, schema parquet.Group, rows [][]any, options ...parquet.WriterOption) []byte {
	tb.Helper()
	var b bytes.Buffer
	names := slices.Sorted(maps.Keys(schema))
	w := parquet.NewWriter(&b, append(options, parquet.NewSchema("readings", schema))...)
	for _, row := range rows {
		var values parquet.Row
		for i, v := range row {
			value, defined := parquet.ValueOf(v), 0
			if v != nil && schema[names[i]].Optional() {
				defined = 1
			}
			values = append(values, value.Level(0, defined, i))
		}
		if _, err := w.WriteRows([]parquet.Row{values}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// readParquet reads a file to its end.
func readParquet(tb testing.TB, m source.Mapping, file []byte) ([]reading.Reading, []string, source.Counts) {
	tb.Helper()
	s, err := source.OpenReader("f.parquet", bytes.NewReader(file), 0, m)
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	readings, bad := drain(tb, s)
	return readings, bad, s.Counts()
}

// kind is a type of a column, and how CSV writes what it holds.
type kind struct {
	node  parquet.Node
	cell  *rapid.Generator[any] // what Parquet holds
	write func(v any) string
}

func kindOf[T any](node parquet.Node, g *rapid.Generator[T], write func(v T) string) kind {
	return kind{
		node: parquet.Optional(node), cell: rapid.Map(g, func(v T) any { return v }),
		write: func(v any) string { return write(v.(T)) },
	}
}

// values are the types that a value may have.
func values() map[string]kind {
	return map[string]kind{
		"double": kindOf(parquet.Leaf(parquet.DoubleType), rapid.Float64(), func(v float64) string {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}),
		"float": kindOf(parquet.Leaf(parquet.FloatType), rapid.Float32(), func(v float32) string {
			return strconv.FormatFloat(float64(v), 'g', -1, 32)
		}),
		"int32":  kindOf(parquet.Leaf(parquet.Int32Type), rapid.Int32(), func(v int32) string { return fmt.Sprint(v) }),
		"int64":  kindOf(parquet.Int(64), rapid.Int64(), func(v int64) string { return fmt.Sprint(v) }),
		"uint32": kindOf(parquet.Uint(32), rapid.Uint32(), func(v uint32) string { return fmt.Sprint(v) }),
		"uint64": kindOf(parquet.Uint(64), rapid.Uint64(), func(v uint64) string { return fmt.Sprint(v) }),
		"decimal32": kindOf(parquet.Decimal(2, 9, parquet.Int32Type), rapid.Int32Range(-999999999, 999999999),
			func(v int32) string { return fmt.Sprintf("%de-2", v) }),
		"decimal64": kindOf(parquet.Decimal(5, 18, parquet.Int64Type), rapid.Int64Range(-1e18+1, 1e18-1),
			func(v int64) string { return fmt.Sprintf("%de-5", v) }),
		"text": kindOf(parquet.String(), rapid.SampledFrom([]string{"1.5", " -2e3 ", "", "?", "NaN", "1,5", "x"}),
			func(v string) string { return v }),
	}
}

// moments are the types that a time may have, with the mapping's time.
func moments() map[string]kind {
	const zoned = "layout: \"2006-01-02 15:04:05\", zone: Europe/Paris"
	at := rapid.Int64Range(1700000000, 1740000000) // over both turns of the clock
	local := func(v time.Time) string { return v.Format("2006-01-02 15:04:05.999999999") }
	return map[string]kind{
		"layout: rfc3339": kindOf(parquet.Timestamp(parquet.Millisecond), at,
			func(v int64) string { return time.UnixMilli(v * 1001).UTC().Format(time.RFC3339Nano) }),
		"layout:  rfc3339": kindOf(parquet.Timestamp(parquet.Nanosecond), at,
			func(v int64) string { return time.Unix(0, v*1000000007).UTC().Format(time.RFC3339Nano) }),
		zoned: kindOf(parquet.TimestampAdjusted(parquet.Microsecond, false), at,
			func(v int64) string { return local(time.UnixMicro(v * 1000001).UTC()) }),
		"layout: \"2006-01-02\", zone: Asia/Kolkata": kindOf(parquet.Date(), rapid.Int32Range(0, 20000),
			func(v int32) string { return time.Unix(int64(v)*86400, 0).UTC().Format(time.DateOnly) }),
		"layout: epoch_ms": kindOf(parquet.Leaf(parquet.Int64Type), rapid.Int64(), func(v int64) string { return fmt.Sprint(v) }),
		"layout: epoch_s": kindOf(parquet.Leaf(parquet.DoubleType), rapid.Float64Range(-1e9, 1e9),
			func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }),
		"layout:  epoch_s": kindOf(parquet.Int(32), rapid.Int32(), func(v int32) string { return fmt.Sprint(v) }),
		"layout: \"2/1/2006 15:04\", zone: UTC": kindOf(parquet.String(),
			rapid.SampledFrom([]string{"31/1/2026 17:24", "2026-01-31", "31/2/2026 17:24", ""}), func(v string) string { return v }),
	}
}

// scaled is how far the generated integers of a time lie apart.
func scaled(time string, node parquet.Node, v any) any {
	n, ok := v.(int64)
	switch {
	case !ok || strings.Contains(time, "epoch"):
		return v
	case strings.Contains(node.Type().String(), "NANOS"):
		return n * 1000000007
	case strings.Contains(node.Type().String(), "MICROS"):
		return n * 1000001
	}
	return n * 1001
}

// TestParquetEqualsCSV writes the same rows as CSV, by encoding/csv, and as
// Parquet: they are the same readings, and the same rows are bad.
func TestParquetEqualsCSV(t *testing.T) {
	t.Parallel()
	tb := t
	values, moments := values(), moments()
	entity := kindOf(parquet.String(), rapid.SampledFrom([]string{"m1", "é,\"", "", "m 2"}), func(v string) string { return v })
	number := kindOf(parquet.Uint(16), rapid.Uint32Range(0, 9), func(v uint32) string { return fmt.Sprint(v) })
	rapid.Check(t, func(t *rapid.T) {
		when := rapid.SampledFrom(slices.Sorted(maps.Keys(moments))).Draw(t, "time")
		value := rapid.SampledFrom(slices.Sorted(maps.Keys(values))).Draw(t, "value")
		columns := []kind{moments[when], entity, number, values[value], values["decimal32"]}
		schema := parquet.Group{"a": columns[0].node, "b": columns[1].node, "c": columns[2].node, "d": columns[3].node,
			"e": columns[4].node}
		m, err := source.ParseMapping([]byte("absent: [\"\", \"?\"]\ntime: {columns: [a], " + when + "}\n" +
			"long: {entity: {column: b}, revision: {column: c}, value: {column: d}, exchange_start: {column: e}, " +
			"metric: voltage, scale: 2}"))
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		_ = w.Write([]string{"a", "b", "c", "d", "e"})
		var rows [][]any
		for range rapid.IntRange(0, 30).Draw(t, "rows") {
			row, line := make([]any, len(columns)), make([]string, len(columns))
			for i, c := range columns {
				if rapid.IntRange(0, 9).Draw(t, "null") > 0 {
					v := c.cell.Draw(t, "cell")
					row[i], line[i] = v, c.write(v)
				}
			}
			row[0] = scaled(when, columns[0].node, row[0])
			rows = append(rows, row)
			_ = w.Write(line)
		}
		w.Flush()
		file := parquetFile(tb, schema, rows, parquet.MaxRowsPerRowGroup(int64(rapid.IntRange(1, 20).Draw(t, "group"))),
			parquet.DataPageVersion(rapid.IntRange(1, 2).Draw(t, "version")), parquet.PageBufferSize(64))
		want, bad, counts := read(tb, m, text.String())
		got, badToo, countsToo := readParquet(tb, m, file)
		if diff := cmp.Diff(want, got) + cmp.Diff(counts, countsToo); diff != "" {
			t.Fatalf("%s %s: %s\nCSV:\n%s\n%q\n%q", when, value, diff, text.String(), bad, badToo)
		}
		for i := range bad {
			var line int
			if _, err := fmt.Sscanf(bad[i], "f.csv:%d:", &line); err != nil {
				t.Fatal(err)
			}
			column := strings.SplitN(bad[i], ": ", 3)[1] // all stand in one line
			if where := fmt.Sprintf("f.parquet: row %d: %s: ", line-1, column); !strings.HasPrefix(badToo[i], where) {
				t.Fatalf("%q, but %q", bad[i], badToo[i])
			}
		}
	})
}

// TestParquetOfDuckDB reads files that DuckDB 1.1.3 wrote of one table: what it
// says in its CSV is what its Parquet means. The table has 200 rows over the end
// of summer time, with a null in each seventh row of energy and each eleventh of
// factor:
//
//	CREATE TABLE t AS SELECT
//	  TIMESTAMP '2025-10-25 20:00:00' + to_minutes(i * 15) AS local, to_timestamp(1761422400 + i * 900) AS moment,
//	  'house-1' AS meter, CASE WHEN i % 7 = 3 THEN NULL ELSE CAST(sqrt(i) * 100 AS DECIMAL(12,3)) END AS energy,
//	  CAST(sin(i) AS FLOAT) AS power, CASE WHEN i % 11 = 5 THEN NULL ELSE cos(i) END AS factor,
//	  CAST(i * 3000000007 AS BIGINT) AS pulses, CAST(i % 3 AS UTINYINT) AS revision FROM range(200) r(i);
//	COPY t TO 'duckdb.parquet' (FORMAT parquet, COMPRESSION zstd); COPY t TO 'duckdb.csv' (HEADER);
func TestParquetOfDuckDB(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]string{
		"local times": `columns: [local], layout: "2006-01-02 15:04:05", zone: Europe/Paris`,
		"moments":     `columns: [moment], layout: "2006-01-02 15:04:05-07"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document := "time: {" + when + "}\ncolumns:\n"
			for _, column := range []string{"energy", "power", "factor", "pulses"} {
				document += "  - {column: " + column + ", entity: {column: meter}, metric: " + column + ", revision: {column: revision}}\n"
			}
			var readings [2][]reading.Reading
			for i, file := range []string{"testdata/duckdb.csv", "testdata/duckdb.parquet"} {
				s, err := source.Open(file, mapping(t, document))
				if err != nil {
					t.Fatal(err)
				}
				var bad []string
				if readings[i], bad = drain(t, s); bad != nil || s.Close() != nil {
					t.Error(bad)
				}
				if diff := cmp.Diff(source.Counts{Rows: 200, Readings: 753, Absent: 47}, s.Counts()); diff != "" {
					t.Error(file, diff)
				}
			}
			if diff := cmp.Diff(readings[0], readings[1]); diff != "" {
				t.Error(diff)
			}
		})
	}
}
