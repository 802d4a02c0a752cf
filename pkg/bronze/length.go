package bronze

import (
	"math"
	"time"
)

// parseLength returns the length that text stands for: a Go duration ("15m"),
// an ISO 8601 duration ("PT15M") or a number of seconds. Package time wants a
// string; the few that are in use are kept among the names.
func parseLength(b []byte, kept *names) (time.Duration, bool) {
	if length, ok := parseSeconds(b); ok {
		return length, true
	}
	if len(b) > 0 && b[0] == 'P' {
		return parseISOLength(b[1:])
	}
	length, err := time.ParseDuration(kept.of(b))
	return length, err == nil && length >= 0
}

// parseSeconds returns the length that a number of seconds stands for.
func parseSeconds(b []byte) (time.Duration, bool) {
	d, ok := parseDecimal(b)
	if !ok || d.negative && d.digits > 0 {
		return 0, false
	}
	ns, _, fits := d.scaled(9)
	return time.Duration(ns), fits && ns <= math.MaxInt64
}

// isoUnits are the designators of ISO 8601 in their order; a day is 24 hours.
// Months and years have no fixed length.
var isoUnits = [...]struct {
	letter byte
	length time.Duration
	clock  bool // stands after "T"
}{
	{'W', 7 * 24 * time.Hour, false},
	{'D', 24 * time.Hour, false},
	{'H', time.Hour, true},
	{'M', time.Minute, true},
	{'S', time.Second, true},
}

// parseISOLength reads what follows the "P" of an ISO 8601 duration. Only the
// last number may have a fraction, of at most 9 digits.
func parseISOLength(b []byte) (time.Duration, bool) {
	var total time.Duration
	next, clock, fraction, parts := 0, false, false, 0
	for len(b) > 0 {
		if b[0] == 'T' && !clock && len(b) > 1 {
			clock, b = true, b[1:]
			continue
		}
		end := digitsEnd(b, 0)
		if end > 0 && end < len(b) && b[end] == '.' {
			fraction, end = true, digitsEnd(b, end+1)
		}
		if end == 0 || end == len(b) || fraction && end+1 < len(b) {
			return 0, false
		}
		for next < len(isoUnits) && (isoUnits[next].letter != b[end] || isoUnits[next].clock != clock) {
			next++
		}
		if next == len(isoUnits) {
			return 0, false
		}
		part, ok := times(b[:end], isoUnits[next].length)
		if !ok || total > math.MaxInt64-part {
			return 0, false
		}
		total, b = total+part, b[end+1:]
		next++
		parts++
	}
	return total, parts > 0
}

// times returns the unsigned decimal b times unit.
func times(b []byte, unit time.Duration) (time.Duration, bool) {
	d, ok := parseDecimal(b)
	nanos, exact, fits := d.scaled(9) // billionths of a unit
	if !ok || !exact || !fits {
		return 0, false
	}
	whole, fraction := nanos/1e9, nanos%1e9
	if whole > uint64(math.MaxInt64/unit) {
		return 0, false
	}
	// unit is at most a week, 6e14 ns in steps of 1e9, so the product fits.
	rest := time.Duration(fraction) * (unit / 1e9)
	if sum := time.Duration(whole) * unit; sum <= math.MaxInt64-rest {
		return sum + rest, true
	}
	return 0, false
}
