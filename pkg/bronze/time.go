package bronze

import (
	"errors"
	"fmt"
	"math"
)

// Sentences for times that cannot be read.
var (
	errTimeRange = errors.New("lies outside the years 1678 to 2262")
	errTimeForm  = errors.New("is no time; write RFC 3339, such as 2026-01-31T12:00:00Z, " +
		"or seconds, milliseconds, microseconds or nanoseconds since 1970")
	errTimeZone = errors.New("does not say its offset from UTC; append Z or an offset such as +01:00")
	errTimeDate = errors.New("names a date or a time of day that does not exist")
)

// parseTime returns the time that text stands for, in Unix ns: RFC 3339 or an
// epoch number.
func parseTime(b []byte) (int64, error) {
	if d, ok := parseDecimal(b); ok {
		return d.epoch()
	}
	return parseRFC3339(b)
}

// parseEpoch returns the time that a number stands for, in Unix ns.
func parseEpoch(b []byte) (int64, error) {
	d, ok := parseDecimal(b)
	if !ok {
		return 0, errTimeForm
	}
	return d.epoch()
}

// epoch returns Unix ns. The magnitude tells the unit of d: seconds below
// 1e11, milliseconds below 1e14, microseconds below 1e17, else nanoseconds.
// All digits count down to the nanosecond; what lies beyond rounds down.
func (d *decimal) epoch() (int64, error) {
	shift := 0
	switch {
	case d.point <= 11:
		shift = 9
	case d.point <= 14:
		shift = 6
	case d.point <= 17:
		shift = 3
	}
	return d.nanos(shift)
}

// nanos returns d × 10^shift as ns, rounded down.
func (d *decimal) nanos(shift int) (int64, error) {
	ns, exact, fits := d.scaled(shift)
	if d.negative && !exact {
		ns++
	}
	switch {
	case !fits:
		return 0, errTimeRange
	case d.negative && ns <= 1<<63:
		return -int64(ns), nil
	case !d.negative && ns <= math.MaxInt64:
		return int64(ns), nil
	}
	return 0, errTimeRange
}

// parseRFC3339 reads a date, "T" or a space, a time of day, a fraction of any
// length, and "Z" or an offset; letters in either case. Digits beyond the
// nanosecond are dropped. Leap seconds are refused: Unix time has no place
// for them, and the next second has a reading of its own.
func parseRFC3339(b []byte) (int64, error) {
	const form = "0000-00-00T00:00:00"
	if len(b) < len(form) || !matches(b[:len(form)], form) {
		return 0, errTimeForm
	}
	year, month, day := two(b[0:])*100+two(b[2:]), two(b[5:]), two(b[8:])
	hour, minute, second := two(b[11:]), two(b[14:]), two(b[17:])
	if second == 60 {
		return 0, errors.New("is a leap second, which Unix time lacks; send the second before or after it")
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, errTimeDate
	}
	nanos, rest, ok := parseFraction(b[len(form):])
	if !ok {
		return 0, errTimeForm
	}
	offset, err := parseOffset(rest)
	if err != nil {
		return 0, err
	}
	seconds := int64(daysSince1970(year, month, day))*86400 + int64(hour*3600+minute*60+second-offset)
	return unixNano(seconds, int64(nanos))
}

// matches reports whether b has digits where form has 0, and otherwise its
// bytes, where "T" may be in lower case or a space.
func matches(b []byte, form string) bool {
	for i, c := range b {
		switch form[i] {
		case '0':
			if !isDigit(c) {
				return false
			}
		case 'T':
			if c != 'T' && c != 't' && c != ' ' {
				return false
			}
		default:
			if c != form[i] {
				return false
			}
		}
	}
	return true
}

// two returns the number that two digits at the beginning of b stand for.
func two(b []byte) int { return int(b[0]-'0')*10 + int(b[1]-'0') }

// parseFraction reads a fraction of a second, if there is one.
func parseFraction(b []byte) (nanos int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	end := digitsEnd(b, 1)
	for i := 1; i <= 9; i++ {
		nanos *= 10
		if i < end {
			nanos += int(b[i] - '0')
		}
	}
	return nanos, b[end:], end > 1
}

// parseOffset returns how many seconds an offset lies east of UTC.
func parseOffset(b []byte) (int, error) {
	const form = "00:00"
	switch {
	case len(b) == 0:
		return 0, errTimeZone
	case len(b) == 1 && b[0]|0x20 == 'z':
		return 0, nil
	case len(b) != 1+len(form) || b[0] != '+' && b[0] != '-' || !matches(b[1:], form):
		return 0, errTimeForm
	}
	hours, minutes := two(b[1:]), two(b[4:])
	if hours > 23 || minutes > 59 {
		return 0, errTimeDate
	}
	seconds := hours*3600 + minutes*60
	if b[0] == '-' {
		return -seconds, nil
	}
	return seconds, nil
}

// unixNano joins seconds and nanos in [0, 1e9) to Unix ns.
func unixNano(seconds, nanos int64) (int64, error) {
	const first, last = math.MinInt64/1_000_000_000 - 1, math.MaxInt64 / 1_000_000_000
	if seconds < first || seconds > last {
		return 0, errTimeRange
	}
	if seconds < 0 { // count from the second's end, lest the product overflow
		ns := (seconds+1)*1_000_000_000 + (nanos - 1_000_000_000)
		if ns > 0 {
			return 0, errTimeRange
		}
		return ns, nil
	}
	if ns := seconds*1_000_000_000 + nanos; ns >= 0 {
		return ns, nil
	}
	return 0, errTimeRange
}

// daysIn returns the length of a month of the Gregorian calendar.
func daysIn(year, month int) int {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4, month == 6, month == 9, month == 11:
		return 30
	}
	return 31
}

// daysSince1970 counts days of the Gregorian calendar in years that begin in
// March, so that the leap day is their last (Hinnant, "chrono-compatible
// low-level date algorithms", days_from_civil). The year must not be negative.
func daysSince1970(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	year += 400 // keeps divisions of year 0 before March positive
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return year*365 + year/4 - year/100 + year/400 + dayOfYear - 719468 - 146097
}

// timeFault says what is wrong with a time.
func timeFault(b []byte, err error) error { return fmt.Errorf("time: %s %w", excerpt(b), err) }
