package source

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones also where the machine has none
)

// epochs are the named layouts that count from 1970, and how many decimal digits
// lie between their unit and the nanosecond.
var epochs = map[string]int{"epoch_s": 9, "epoch_ms": 6, "epoch_us": 3, "epoch_ns": 0}

const rfc3339 = "rfc3339"

// timestamp is the layout of columns whose type tells their times.
const timestamp = "timestamp"

const layoutHelp = `write it as the moment 2 January 2006 15:04:05 would stand in the file, ` +
	`such as "2006-01-02 15:04" or "2/1/2006 15:04:05", or one of rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns`

// errNoLayout says that the text of times needs a layout.
var errNoLayout = errors.New("time: layout timestamp is for Parquet columns of that type; " + layoutHelp)

// stamps reads the times of one file.
type stamps struct {
	name   string // of the layout, as the mapping has it
	layout string
	epoch  bool
	digits int        // of an epoch
	clock  *wallClock // nil when the text tells its offset
	typed  bool       // written by this package, of the column's type
}

// newStamps reports every fault of t.
func newStamps(t Time) (*stamps, error) {
	s := &stamps{name: t.Layout, layout: t.Layout}
	s.digits, s.epoch = epochs[t.Layout]
	var faults []error
	if len(t.Columns) == 0 {
		faults = append(faults, errors.New(
			"time: columns is missing; name the columns that hold the time, such as [Date, Time]"))
	}
	local := false
	switch {
	case t.Layout == "":
		faults = append(faults, errors.New("time: layout is missing; "+layoutHelp+
			", or timestamp for a Parquet column that is one"))
	case s.epoch:
	case t.Layout == timestamp:
		local = t.Zone != "" // what it is good for is known with the file
	case t.Layout == rfc3339:
		s.layout = time.RFC3339Nano
	default:
		var err error
		if local, err = checkLayout(t.Layout); err != nil {
			faults = append(faults, err)
			return s, errors.Join(faults...)
		}
	}
	clock, err := newZone(t, local)
	s.clock = clock
	return s, errors.Join(append(faults, err)...)
}

// newZone returns the clock for a layout that needs one.
func newZone(t Time, local bool) (*wallClock, error) {
	switch {
	case !local && t.Zone == "":
		return nil, nil
	case !local:
		return nil, fmt.Errorf("time: zone %s has no effect, layout %s tells the offset; remove it", t.Zone, t.Layout)
	case t.Zone == "":
		return nil, errors.New("time: zone is missing; the layout has no offset, so name the zone of the file's clock, " +
			"such as Europe/Paris or UTC")
	}
	loc, err := time.LoadLocation(t.Zone)
	if err != nil || t.Zone == "Local" {
		return nil, fmt.Errorf("time: zone %q is not known; write an IANA name such as Europe/Paris or UTC", t.Zone)
	}
	return newWallClock(loc), nil
}

// checkLayout refuses a layout that loses the day or the hour, and tells whether
// it lacks an offset.
func checkLayout(layout string) (local bool, err error) {
	if strings.Contains(layout, "MST") {
		return false, fmt.Errorf("time: layout %q has a zone abbreviation, which is ambiguous; "+
			"use an offset (-07:00), or leave the column out and name a zone", layout)
	}
	probe := time.Date(2017, 11, 23, 21, 0, 0, 0, time.UTC)
	back, err := time.Parse(layout, probe.Format(layout))
	day := probe.Truncate(24 * time.Hour)
	if err != nil || !back.Equal(probe) && !back.Equal(day) {
		return false, fmt.Errorf("time: layout %q does not tell year, month, day and hour; %s", layout, layoutHelp)
	}
	return !strings.Contains(layout, "Z07") && !strings.Contains(layout, "-07"), nil
}

// Errors of a time, as what was expected instead.
var (
	errForm  = errors.New("a time of the mapping's layout")
	errRange = errors.New("a time in the years 1678 to 2261")
)

// parse returns the Unix ns that text stands for in a row of a series.
func (s *stamps) parse(text string, series []byte) (int64, error) {
	if s.epoch {
		ns, ok := parseEpoch(text, s.digits)
		if !ok {
			return 0, errForm
		}
		return ns, nil
	}
	t, err := time.Parse(s.layout, text)
	if err != nil && s.typed {
		return 0, errRange // a year of five digits
	}
	if err != nil {
		return 0, errForm
	}
	if y := t.Year(); y < 1678 || y > 2261 {
		return 0, errRange
	}
	if s.clock == nil {
		return t.UnixNano(), nil
	}
	seconds, err := s.clock.instant(t.Unix(), series)
	return seconds*int64(time.Second) + int64(t.Nanosecond()), err
}

// parseEpoch reads a decimal number whose unit is 10^digits nanoseconds.
func parseEpoch(text string, digits int) (int64, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > digits || whole == "" || !isDigit(whole[len(whole)-1]) {
		return 0, false
	}
	ns, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	return ns, err == nil
}

// guessLayout returns a common layout that reads text, "" if none does.
func guessLayout(text string) string {
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return map[int]string{10: "epoch_s", 13: "epoch_ms", 16: "epoch_us", 19: "epoch_ns"}[len(text)]
	}
	if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return rfc3339
	}
	for _, day := range [...]string{"2006-01-02", "2.1.2006", "2/1/2006", "1/2/2006", "2006/1/2"} {
		for _, clock := range [...]string{" 15:04:05", " 15:04", "T15:04:05", "T15:04", " 15:04:05Z07:00", ""} {
			if _, err := time.Parse(day+clock, text); err == nil {
				return day + clock
			}
		}
	}
	return ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// example shows a time as the file should have it.
func (s *stamps) example() string {
	if s.epoch {
		return strconv.FormatInt(1_700_000_000_000_000_000/pow10(s.digits), 10)
	}
	return time.Date(2026, 1, 31, 17, 24, 0, 0, time.UTC).Format(s.layout)
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}
