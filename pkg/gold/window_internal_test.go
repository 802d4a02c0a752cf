package gold

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Windows of days away from changes of the clock are computed without the calendar.
func TestEvenWindowsAreThoseOfTheCalendar(t *testing.T) {
	t.Parallel()
	names := []string{
		"UTC", "Europe/Paris", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo",
		"Pacific/Apia", "Asia/Gaza", "America/St_Johns", "Antarctica/Troll", "Africa/Monrovia",
	}
	even := 0
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(names).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		w := Windows{calendar: rapid.SampledFrom([]Calendar{Day, Week, GasDay}).Draw(t, "calendar"), zone: zone}
		at := time.Unix(rapid.Int64Range(0, 4_102_444_800).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		if rapid.Bool().Draw(t, "near a change") {
			if from, _ := at.In(zone).ZoneBounds(); !from.IsZero() && from.Unix() > 0 {
				at = from.Add(time.Duration(rapid.Int64Range(-int64(9*DaySpan), int64(9*DaySpan)).Draw(t, "away")))
			}
		}
		start, end, ok := w.even(at.In(zone))
		if !ok {
			return
		}
		even++
		if s, e := w.civil(at.In(zone)); s != start || e != end {
			t.Fatalf("%s lies in [%s, %s) and not in [%s, %s)", at.In(zone), time.Unix(0, s).In(zone), time.Unix(0, e).In(zone),
				time.Unix(0, start).In(zone), time.Unix(0, end).In(zone))
		}
	})
	if even == 0 {
		t.Error("no window was even")
	}
}
