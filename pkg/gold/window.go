package gold

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Calendar is a window of the civil calendar.
type Calendar uint8

// The calendar windows.
const (
	NoCalendar Calendar = iota
	Day                 // from midnight: 23, 24 or 25 hours
	Week                // from Monday (ISO 8601)
	Month
	Year
	GasDay // from 06:00
)

var calendarNames = [...]string{"none", "day", "week", "month", "year", "gas_day"}

// String returns the window's name.
func (c Calendar) String() string {
	if int(c) < len(calendarNames) {
		return calendarNames[c]
	}
	return fmt.Sprintf("calendar(%d)", uint8(c))
}

// ParseCalendar returns the calendar window of that name.
func ParseCalendar(name string) (Calendar, bool) {
	for i, n := range calendarNames[1:] {
		if n == name {
			return Calendar(i + 1), true
		}
	}
	return NoCalendar, false
}

// Windows divides time into the windows of an answer: fixed ones that count
// from the Unix epoch, or calendar ones in a zone. Make one with FixedWindows
// or CalendarWindows. Every instant is in exactly one (invariant 9).
type Windows struct {
	fixed    time.Duration
	calendar Calendar
	zone     *time.Location
	cuts     []int64 // in order, besides the bounds
}

// ErrWindow is returned for a window that cannot divide time.
var ErrWindow = errors.New("invalid window")

// FixedWindows returns windows of one width.
func FixedWindows(width time.Duration) (Windows, error) {
	if width <= 0 {
		return Windows{}, fmt.Errorf("width %s must be positive: %w", width, ErrWindow)
	}
	return Windows{fixed: width}, nil
}

// CalendarWindows returns windows of the civil calendar in a zone.
func CalendarWindows(c Calendar, zone *time.Location) (Windows, error) {
	if c == NoCalendar || int(c) >= len(calendarNames) || zone == nil {
		return Windows{}, fmt.Errorf("%s: %w", c, ErrWindow)
	}
	return Windows{calendar: c, zone: zone}, nil
}

// Fixed returns the width of fixed windows, 0 for calendar ones.
func (w Windows) Fixed() time.Duration { return w.fixed }

// Cut returns windows that are also divided at some times, in Unix ns and in
// order: at the bounds of base windows if w has a fixed width.
func (w Windows) Cut(at ...int64) Windows {
	w.cuts = at
	return w
}

// HoldDays reports whether each window holds whole days of UTC.
func (w Windows) HoldDays() bool {
	for _, at := range w.cuts {
		if at != math.MinInt64 && at != math.MaxInt64 && at%int64(DaySpan) != 0 {
			return false
		}
	}
	if w.fixed > 0 {
		return w.fixed%DaySpan == 0
	}
	return w.calendar != GasDay && w.zone.String() == "UTC"
}

// Date returns the local date of the calendar window that holds t, cut or not:
// 2026-03-29. It is empty of fixed windows.
func (w Windows) Date(t int64) string {
	if w.fixed > 0 {
		return ""
	}
	start, _ := w.Whole(t)
	return time.Unix(0, start).In(w.zone).Format(time.DateOnly)
}

// Bounds returns the window that holds t: its start, and its end, which is the
// start of the next. All are Unix ns.
func (w Windows) Bounds(t int64) (start, end int64) {
	start, end = w.Whole(t)
	for _, at := range w.cuts {
		if at <= t {
			start = max(start, at)
		} else {
			end = min(end, at)
		}
	}
	return start, end
}

// Whole is Bounds as if there were no cuts.
func (w Windows) Whole(t int64) (start, end int64) {
	if w.fixed > 0 {
		start = WindowStart(t, w.fixed)
		return start, start + int64(w.fixed)
	}
	local := time.Unix(0, t).In(w.zone)
	if start, end, ok := w.even(local); ok {
		return start, end
	}
	return w.civil(local)
}

// civil is Whole of calendar windows.
func (w Windows) civil(local time.Time) (start, end int64) {
	t := local.UnixNano()
	y, m, d := local.Date()
	// Around a transition the local date can run ahead of the window or, when
	// clocks go back over the window's start, behind it: step to the window
	// that holds t.
	for i := 1; ; i-- {
		start = w.startOf(y, m, d, i)
		if start <= t {
			break
		}
	}
	for i := range 4 {
		s := time.Unix(0, start).In(w.zone)
		y, m, d = s.Date()
		if end = w.startOf(y, m, d, i); end > start {
			return start, end
		}
	}
	return start, end
}

// even is Whole of windows of days where no clock changes in or near them, so that
// they are as long as in UTC; ok is false elsewhere.
func (w Windows) even(local time.Time) (start, end int64, ok bool) {
	width, begin := int64(DaySpan), int64(0) // of the first window in local time
	switch w.calendar {
	case Day:
	case Week:
		width, begin = 7*width, 4*width // Monday, 5 January 1970
	case GasDay:
		begin = 6 * int64(time.Hour)
	default:
		return 0, 0, false
	}
	_, seconds := local.Zone()
	offset := int64(seconds)*int64(time.Second) - begin
	start = WindowStart(local.UnixNano()+offset, time.Duration(width)) - offset
	end = start + width
	from, to := local.ZoneBounds()
	// The first instant of a date may lie before the last change of the clock.
	ok = (from.IsZero() || start-from.UnixNano() > int64(DaySpan)) && (to.IsZero() || end < to.UnixNano())
	return start, end, ok
}

// startOf returns the start of the window that the local date lies in, moved
// by n windows.
func (w Windows) startOf(y int, m time.Month, d, n int) int64 {
	hour := 0
	switch w.calendar {
	case Week:
		weekday := time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Weekday()
		d -= (int(weekday) + 6) % 7
		d += 7 * n
	case Month:
		d, m = 1, m+time.Month(n)
	case Year:
		d, m, y = 1, time.January, y+n
	case GasDay:
		d, hour = d+n, 6
	default:
		d += n
	}
	return firstInstant(y, m, d, hour, w.zone).UnixNano()
}

// firstInstant returns the earliest instant whose local time is that hour or
// later on the day: the hour itself, the first of two when clocks go back over
// it, or the transition when clocks skip it.
func firstInstant(y int, m time.Month, d, hour int, zone *time.Location) time.Time {
	wanted := time.Date(y, m, d, hour, 0, 0, 0, time.UTC)
	civil := func(t time.Time) time.Time { // local clock reading, as if in UTC
		_, offset := t.Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	t := time.Date(y, m, d, hour, 0, 0, 0, zone)
	from, to := t.ZoneBounds()
	switch got := civil(t); {
	case got.Before(wanted): // skipped, Date chose the offset after
		return to
	case got.After(wanted): // skipped, Date chose the offset before
		return from
	}
	if from.IsZero() {
		return t
	}
	// The hour may have occurred before the last transition too.
	_, before := from.Add(-1).Zone()
	earlier := wanted.Add(-time.Duration(before) * time.Second).In(zone)
	if earlier.Before(from) && civil(earlier).Equal(wanted) {
		return earlier
	}
	return t
}
