package source_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRowError(t *testing.T) {
	t.Parallel()
	const head = "Date;Time;P;E\n1/1/2007;00:00:00;1;1\n" // two good readings
	cases := map[string]struct {
		rows string
		want []string // each a whole message
		good int
	}{
		"a word instead of a number": {"1/1/2007;00:01:00;abc;1\n", []string{
			`f.csv:3: column P: found "abc", expected a number such as 234.84; ` +
				`if it means that there is no reading, add "abc" to absent`}, 3},
		"a decimal comma that was not announced": {"1/1/2007;00:01:00;1,5;1\n", []string{
			`f.csv:3: column P: found "1,5", expected a number such as 234.84; ` +
				`for a decimal comma set decimal: comma; marks between thousands are not read`}, 3},
		"hexadecimal and non-finite numbers": {"1/1/2007;00:01:00;0x10;NaN\n", []string{
			`f.csv:3: column P: found "0x10", expected a number such as 234.84; ` +
				`if it means that there is no reading, add "0x10" to absent`,
			`f.csv:3: column E: found "NaN", expected a number such as 234.84; ` +
				`if it means that there is no reading, add "NaN" to absent`}, 2},
		"a number beyond float64": {"1/1/2007;00:01:00;1e999;1\n", []string{
			`f.csv:3: column P: found "1e999", expected a number such as 234.84; ` +
				`if it means that there is no reading, add "1e999" to absent`}, 3},
		"a time of another layout": {"2007-01-01;00:01:00;1;1\n1/1/2007;00:02:00;1;1\n", []string{
			`f.csv:3: column Date+Time: found "2007-01-01 00:01:00", expected a time like 31/1/2026 17:24:00; ` +
				`the mapping's time layout is "2/1/2006 15:04:05"; "2006-01-02 15:04:05" would read it`}, 4},
		"numbers with a unit": {"1/1/2007;00:01:00;12.5 kW;3Wh\n", []string{
			`f.csv:3: column P: found "12.5 kW", expected a number such as 234.84; ` +
				`a unit stands in a column of its own (unit: {column: NAME}), or once in the mapping; take it off the number`,
			`f.csv:3: column E: found "3Wh", expected a number such as 234.84; ` +
				`a unit stands in a column of its own (unit: {column: NAME}), or once in the mapping; take it off the number`}, 2},
		"a day that does not exist": {"31/2/2007;00:01:00;1;1\n", []string{
			`f.csv:3: column Date+Time: found "31/2/2007 00:01:00", expected a time like 31/1/2026 17:24:00; ` +
				`the mapping's time layout is "2/1/2006 15:04:05"`}, 2},
		"a time that the zone skips": {"25/3/2007;02:30:00;1;1\n", []string{
			`f.csv:3: column Date+Time: found "25/3/2007 02:30:00", expected a time that exists in Europe/Paris; ` +
				`the clock was put forward over this time; ` +
				`if the file's clock does not change in summer, name its zone: UTC, or Etc/GMT-1 for UTC+1`}, 2},
		"a row with too few fields": {"1/1/2007;00:01:00;1\n1/1/2007;00:02:00;1;1\n", []string{
			`f.csv:3: found 3, expected 4 fields; the delimiter is ';'; a field that holds it must stand in double quotes`}, 4},
		"a last line that is half-written": {"1/1/2007;00:0", []string{
			`f.csv:3: found "1/1/2007;00:0", expected 4 fields; the file ends here without a newline, ` +
				`the line seems half-written: publish the file again when its writer is done`}, 2},
		"a quote that never closes loses one line": {"1/1/2007;00:01:00;\"1;1\n1/1/2007;00:02:00;1;1\n", []string{
			`f.csv:3: found "1/1/2007;00:01:00;\"1;1", expected a quote (") that closes the quoted field`}, 4},
		"text behind a quoted field": {"1/1/2007;00:01:00;\"1\"x;1\n", []string{
			`f.csv:3: found "1/1/2007;00:01:00;\"1\"x;1", expected ';' after the closing quote of field 3`}, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readings, bad, counts := read(t, mapping(t, wide), head+c.rows)
			if diff := cmp.Diff(c.want, bad); diff != "" {
				t.Error(diff)
			}
			if len(readings) != c.good || counts.Bad != int64(len(c.want)) {
				t.Errorf("%d good readings, want %d; %+v", len(readings), c.good, counts)
			}
		})
	}
	t.Run("faults in the columns of a long file", testLongFaults)
	t.Run("a line without end is refused in bounded memory", func(t *testing.T) {
		t.Parallel()
		readings, bad, _ := read(t, mapping(t, wide), head+strings.Repeat("x", 3<<20)+"\n1/1/2007;00:02:00;1;1\n")
		if len(readings) != 4 || len(bad) != 1 || !strings.Contains(bad[0], "expected a line of at most 1048576 bytes") {
			t.Errorf("%d readings, bad rows %.200q", len(readings), bad)
		}
	})
}

func testLongFaults(t *testing.T) {
	t.Parallel()
	_, bad, _ := read(t, mapping(t, long), "meter,metric,at,value,unit,quality,revision,length\n"+
		"m1,voltage,2026-01-31T12:00:00Z,1,V,good,,\n"+
		"m1,voltage,2026-01-31T12:00:00Z,1,V,,-1,\n"+
		"m1,voltage,2026-01-31T12:00:00Z,1,V,,,long\n"+
		",voltage,2026-01-31T12:00:00Z,1,V,,,\n"+
		"m\xE9,voltage,2026-01-31T12:00:00Z,1,V,,,\n"+
		"m1,voltage,2026-01-31T12:00:00,1,V,,,\n"+
		"m1,voltage,1500-01-31T12:00:00Z,1,V,,,\n")
	want := []string{
		`f.csv:2: column quality: found "good", expected actual, estimated, corrected, withdrawn, or nothing`,
		`f.csv:3: column revision: found "-1", expected a whole number from 0 on`,
		`f.csv:4: column length: found "long", expected a length such as 15m or 1h, or a number of seconds`,
		`f.csv:5: column meter: found "", expected a name`,
		`f.csv:6: column meter: found "m\xe9", expected UTF-8; convert the file: iconv -f latin1 -t utf-8`,
		`f.csv:7: column at: found "2026-01-31T12:00:00", expected a time like 2026-01-31T17:24:00Z; ` +
			`the mapping's time layout is "rfc3339"; "2006-01-02T15:04:05" would read it`,
		`f.csv:8: column at: found "1500-01-31T12:00:00Z", expected a time in the years 1678 to 2261`,
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Error(diff)
	}
}
