package gold_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
)

// zones have transitions at midnight (Sao_Paulo, Beirut, Havana, St_Johns), of
// half an hour (Lord_Howe), a skipped day (Apia), and odd offsets.
var zones = []string{
	"UTC", "Europe/Paris", "America/New_York", "America/Sao_Paulo", "Asia/Beirut", "America/Havana",
	"America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Africa/Casablanca",
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestCalendarWindowsDivideTime proves invariant 9.
func TestCalendarWindowsDivideTime(t *testing.T) {
	t.Parallel()
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc := zone(t, name)
			rapid.Check(t, func(t *rapid.T) {
				unit := rapid.SampledFrom([]gold.Calendar{gold.Day, gold.Week, gold.Month, gold.Year, gold.GasDay}).Draw(t, "unit")
				w, err := gold.CalendarWindows(unit, loc)
				if err != nil {
					t.Fatal(err)
				}
				at := rapid.Int64Range(946684800, 2208988800).Draw(t, "at") * int64(time.Second)
				start, end := w.Bounds(at)
				if at < start || at >= end {
					t.Fatalf("%s is not in [%s, %s)", time.Unix(0, at).In(loc), time.Unix(0, start).In(loc), time.Unix(0, end).In(loc))
				}
				if s, e := w.Bounds(start); s != start || e != end {
					t.Fatalf("the window's start %s has another window", time.Unix(0, start).In(loc))
				}
				if s, e := w.Bounds(end - 1); s != start || e != end {
					t.Fatalf("the window's last instant, before %s, has another window", time.Unix(0, end).In(loc))
				}
				if s, _ := w.Bounds(end); s != end {
					t.Fatalf("the next window starts at %s, not at %s", time.Unix(0, s).In(loc), time.Unix(0, end).In(loc))
				}
			})
		})
	}
}

func TestCalendarWindows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		unit       gold.Calendar
		zone       string
		at         string
		start, end string
	}{
		{"a plain day", gold.Day, "Europe/Paris", "2007-01-05T12:00:00+01:00",
			"2007-01-05T00:00:00+01:00", "2007-01-06T00:00:00+01:00"},
		{"the day of 23 hours", gold.Day, "Europe/Paris", "2026-03-29T12:00:00+02:00",
			"2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"the day of 25 hours", gold.Day, "Europe/Paris", "2026-10-25T02:30:00+01:00",
			"2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},
		{"a day whose midnight is skipped", gold.Day, "America/Sao_Paulo", "2018-11-04T12:00:00-02:00",
			"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},
		{"a week from Monday", gold.Week, "Europe/Paris", "2026-11-22T12:00:00+01:00",
			"2026-11-16T00:00:00+01:00", "2026-11-23T00:00:00+01:00"},
		{"a month with a change", gold.Month, "Europe/Paris", "2026-10-31T23:59:59+01:00",
			"2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"},
		{"a year", gold.Year, "Asia/Kathmandu", "2026-01-01T00:00:00+05:45",
			"2026-01-01T00:00:00+05:45", "2027-01-01T00:00:00+05:45"},
		{"a gas day over the change", gold.GasDay, "Europe/Paris", "2026-10-25T05:59:59+01:00",
			"2026-10-24T06:00:00+02:00", "2026-10-25T06:00:00+01:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parse := func(s string) int64 {
				at, err := time.Parse(time.RFC3339, s)
				if err != nil {
					t.Fatal(err)
				}
				return at.UnixNano()
			}
			loc := zone(t, tt.zone)
			w, err := gold.CalendarWindows(tt.unit, loc)
			if err != nil {
				t.Fatal(err)
			}
			start, end := w.Bounds(parse(tt.at))
			if start != parse(tt.start) || end != parse(tt.end) {
				t.Errorf("got [%s, %s), want [%s, %s)", time.Unix(0, start).In(loc), time.Unix(0, end).In(loc), tt.start, tt.end)
			}
		})
	}
}

func TestFixedWindowsCountFromTheEpoch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		width := time.Duration(rapid.Int64Range(1, int64(100*24*time.Hour)).Draw(t, "width"))
		at := rapid.Int64Range(-1<<60, 1<<60).Draw(t, "at")
		start := gold.WindowStart(at, width)
		if start > at || at >= start+int64(width) || start%int64(width) != 0 {
			t.Fatalf("[%d, %d) does not hold %d", start, start+int64(width), at)
		}
	})
}

// TestCutWindowsDivideTime cuts windows at some times: what holds an instant is
// the part of its window between the nearest cuts.
func TestCutWindowsDivideTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWindows(t)
		at := rapid.Int64Range(0, int64(20*24*time.Hour))
		cuts := rapid.SliceOfN(at, 0, 3).Draw(t, "cuts")
		slices.Sort(cuts)
		instant := at.Draw(t, "instant")
		start, end := w.Cut(cuts...).Bounds(instant)
		wantStart, wantEnd := w.Bounds(instant)
		for _, cut := range cuts {
			if cut <= instant && cut > wantStart {
				wantStart = cut
			}
		}
		for _, cut := range slices.Backward(cuts) {
			if cut > instant && cut < wantEnd {
				wantEnd = cut
			}
		}
		if start != wantStart || end != wantEnd {
			t.Fatalf("%d is in [%d, %d), want [%d, %d)", instant, start, end, wantStart, wantEnd)
		}
	})
}
