package source_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/services/internal/source"
)

// paris is a wide file of one meter with local times.
const paris = `
time: {columns: [t], layout: "2006-01-02 15:04", zone: Europe/Paris}
columns: [{column: v, entity: m1, metric: active_energy}]
`

// times returns the UTC hour and minute of each reading, on any day.
func times(t *testing.T, m source.Mapping, text string) (got []string) {
	t.Helper()
	readings, bad, _ := read(t, m, text)
	if bad != nil {
		t.Errorf("bad rows: %q", bad)
	}
	for _, r := range readings {
		got = append(got, time.Unix(0, r.Time).UTC().Format("15:04"))
	}
	return got
}

func TestLocalTimesInAutumn(t *testing.T) {
	t.Parallel()
	// On 2007-10-28 the clock goes back from 03:00 CEST (UTC+2) to 02:00 CET (UTC+1).
	cases := map[string]struct{ local, want string }{
		"half hours that run through the turn": {
			"01:30 02:00 02:30 02:00 02:30 03:00", "23:30 00:00 00:30 01:00 01:30 02:00"},
		"hours, of which one stands twice": {
			"01:00 02:00 02:00 03:00", "23:00 00:00 01:00 02:00"},
		"a file that begins in the first occurrence": {
			"02:30 02:45 02:00 02:15", "00:30 00:45 01:00 01:15"},
		"a row that comes late, after the turn": {
			"02:30 02:00 03:00 02:45", "00:30 01:00 02:00 01:45"},
		"only one pass is the first occurrence": {
			"01:45 02:15 02:45 03:15", "23:45 00:15 00:45 02:15"},
		"a file from new to old": {
			"03:30 03:00 02:30 02:00 02:30 02:00 01:30", "02:30 02:00 01:30 01:00 00:30 00:00 23:30"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "t,v\n"
			for local := range strings.FieldsSeq(c.local) {
				text += "2007-10-28 " + local + ",1\n"
			}
			if diff := cmp.Diff(strings.Fields(c.want), times(t, mapping(t, paris), text)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a file that starts over is read afresh", func(t *testing.T) {
		t.Parallel()
		text := "t,v\n2007-12-01 00:00,1\n2007-10-28 02:00,1\n2007-10-28 02:30,1\n2007-10-28 02:00,1\n"
		if diff := cmp.Diff([]string{"23:00", "00:00", "00:30", "01:00"}, times(t, mapping(t, paris), text)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("each series of a long file turns by itself", func(t *testing.T) {
		t.Parallel()
		m := mapping(t, `
time: {columns: [t], layout: "2006-01-02 15:04", zone: Europe/Paris}
long: {entity: {column: m}, metric: active_energy, value: {column: v}}`)
		byTime := "m,t,v\na,2007-10-28 02:00,1\nb,2007-10-28 02:00,1\na,2007-10-28 02:00,1\nb,2007-10-28 02:00,1\n"
		if diff := cmp.Diff([]string{"00:00", "00:00", "01:00", "01:00"}, times(t, m, byTime)); diff != "" {
			t.Error(diff)
		}
		bySeries := "m,t,v\na,2007-10-28 02:00,1\na,2007-10-28 02:00,1\na,2007-12-01 00:00,1\n" +
			"b,2007-10-28 02:00,1\nb,2007-10-28 02:00,1\n"
		if diff := cmp.Diff([]string{"00:00", "01:00", "23:00", "00:00", "01:00"}, times(t, m, bySeries)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLocalTimesInSpring(t *testing.T) {
	t.Parallel()
	// On 2007-03-25 the clock goes forward from 02:00 CET to 03:00 CEST.
	readings, bad, _ := read(t, mapping(t, paris),
		"t,v\n2007-03-25 01:59,1\n2007-03-25 02:00,1\n2007-03-25 02:59,1\n2007-03-25 03:00,1\n")
	if len(readings) != 2 || readings[1].Time-readings[0].Time != int64(time.Minute) {
		t.Errorf("readings %+v", readings)
	}
	if len(bad) != 2 || !strings.HasPrefix(bad[0], "f.csv:3: column t: ") ||
		!strings.HasPrefix(bad[1], "f.csv:4: column t: ") {
		t.Errorf("bad rows %q", bad)
	}
}

// TestLocalTimesOfAllZones writes consecutive half hours of several years as
// local times and expects to read the same instants.
func TestLocalTimesOfAllZones(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC",
		"Africa/Casablanca", "Pacific/Apia"} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			text.WriteString("t,v\n")
			first := time.Date(2009, 12, 1, 0, 0, 0, 0, time.UTC)
			const rows = 3 * 365 * 48
			for i := range rows {
				fmt.Fprintf(&text, "%s,1\n", first.Add(time.Duration(i)*30*time.Minute).In(loc).Format("2006-01-02 15:04"))
			}
			m := mapping(t, strings.Replace(paris, "Europe/Paris", zone, 1))
			readings, bad, _ := read(t, m, text.String())
			if len(readings) != rows || bad != nil {
				t.Fatalf("%d of %d rows, bad rows %q", len(readings), rows, bad)
			}
			for i, r := range readings {
				if want := first.Add(time.Duration(i) * 30 * time.Minute); r.Time != want.UnixNano() {
					t.Fatalf("row %d is %v, want %v", i, time.Unix(0, r.Time).In(loc), want.In(loc))
				}
			}
		})
	}
}

func TestTimeLayouts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ layout, text, want string }{
		"RFC 3339":                {"layout: rfc3339", "2026-01-31T12:00:00.25+01:00", "2026-01-31T11:00:00.25Z"},
		"epoch seconds":           {"layout: epoch_s", "1769860800.5", "2026-01-31T12:00:00.5Z"},
		"epoch milliseconds":      {"layout: epoch_ms", "1769860800001", "2026-01-31T12:00:00.001Z"},
		"epoch microseconds":      {"layout: epoch_us", "1769860800000001", "2026-01-31T12:00:00.000001Z"},
		"epoch nanoseconds":       {"layout: epoch_ns", "-1", "1969-12-31T23:59:59.999999999Z"},
		"a layout with an offset": {"layout: 2006-01-02 15:04 -0700", "2026-01-31 12:00 +0200", "2026-01-31T10:00:00Z"},
		"a day in a zone":         {"layout: 02.01.06, zone: Europe/Berlin", "31.07.26", "2026-07-30T22:00:00Z"},
		"twelve hours with PM": {
			"layout: 1/2/2006 3:04 PM, zone: America/New_York", "1/31/2026 1:05 PM", "2026-01-31T18:05:00Z"},
		"fractions in a zone": {
			"layout: 2006-01-02 15:04:05, zone: Europe/Berlin", "2026-01-31 12:00:00.125", "2026-01-31T11:00:00.125Z"},
		"a time before 1970 in a zone": {
			"layout: 2006-01-02 15:04:05, zone: UTC", "1950-01-01 00:00:00.5", "1950-01-01T00:00:00.5Z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mapping(t, "time: {columns: [t], "+c.layout+"}\ncolumns: [{column: v, entity: e, metric: m}]")
			readings, bad, _ := read(t, m, "t,v\n"+c.text+",1\n")
			if len(readings) != 1 {
				t.Fatalf("bad rows %q", bad)
			}
			if got := time.Unix(0, readings[0].Time).UTC().Format(time.RFC3339Nano); got != c.want {
				t.Errorf("%s is read as %s, want %s", c.text, got, c.want)
			}
		})
	}
}
