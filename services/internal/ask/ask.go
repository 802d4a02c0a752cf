// Package ask reads what people write when they ask for windows, on a command
// line or on the page, into the terms of the contract, and tells people what an
// answer says. Errors say what is allowed; the caller puts the name of the field
// before them.
package ask

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/gold"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Zone returns the zone of a name. The server's own is none, as in the
// contract.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("%.64q is no IANA time zone: give one such as Europe/Paris", name)
	}
	return zone, nil
}

// Window returns the window of a text: a duration such as 15m, or a unit of the
// calendar in a zone.
func Window(text string, zone *time.Location) (*energyv1.Window, error) {
	if unit, ok := gold.ParseCalendar(text); ok {
		return &energyv1.Window{
			Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit(unit)}, Zone: zone.String(),
		}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(d)}}, nil
	}
	return nil, fmt.Errorf(
		"%.64q is no window: give a duration such as 15m or 1h, or day, week, month, year, gas_day", text)
}

var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05",
}

// Time returns the instant of a date or a time, in a zone unless the text has
// an offset.
func Time(text string, zone *time.Location) (time.Time, error) {
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(
		"%.64q is no time: give a date such as 2007-01-31, or a time such as 2007-01-31T06:00 or 2007-01-31T06:00:00Z", text)
}

// Energy returns the energy of a window, which for a register is its advance.
// It is not there where the metric has none, or the window no share of any.
func Energy(kind energyv1.Kind, unit string, a *energyv1.Aggregate) (energy float64, ok bool) {
	switch s := a.GetStatistics(); {
	case s == nil || unit == "":
		return 0, false
	case kind == energyv1.Kind_KIND_REGISTER:
		return s.GetAdvance(), true
	default:
		return s.GetEnergy(), true
	}
}

// Finality says of a window that it is provisional, final or restated.
func Finality(a *energyv1.Aggregate) string {
	if a.GetFinality() == energyv1.Finality_FINALITY_UNSPECIFIED { // of an older server
		return ""
	}
	return gold.Finality(a.GetFinality()).String()
}
