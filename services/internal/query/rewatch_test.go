package query

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// TestAChangeTouchesItsWindow has a change of a quarter of an hour, in windows of
// all lengths: the window that holds it is delivered anew, and one far away, which
// its readings reach, only within bounds.
func TestAChangeTouchesItsWindow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 29, 10, 15, 0, 0, time.UTC).UnixNano()
	row := span{at, at + int64(15*time.Minute)}
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	var all []gold.Windows
	for _, unit := range []gold.Calendar{gold.Day, gold.Week, gold.Month, gold.Year, gold.GasDay} {
		w, err := gold.CalendarWindows(unit, zone)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	for _, days := range []int{1, 22, 30, 100, 366} {
		w, err := gold.FixedWindows(time.Duration(days) * 24 * time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	quarters, err := gold.FixedWindows(15 * time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range append(all, quarters) {
		s := scope{windows: w}
		pieces, err := s.pieces(nil, "m", 15*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		start, end := w.Bounds(at)
		got := inWindows(&pieces[0], []touched{{span{row.from, row.to - 1}, row}})
		if len(got) != 1 || got[0] != (span{start, end}) {
			t.Errorf("windows of %s: %+v, want [%d, %d)", time.Duration(end-start), got, start, end)
		}
		reaching := span{at - int64(10*365*24*time.Hour), row.to - 1}
		got = inWindows(&pieces[0], []touched{{reaching, row}})
		if len(got) != 1 || got[0].to != end || got[0].from > start || (start-got[0].from)/(end-start) > widest+1 {
			t.Errorf("windows of %s, of a reading that reaches far: %+v", time.Duration(end-start), got)
		}
	}
}
