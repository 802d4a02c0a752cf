package client

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Selector picks series. An empty list does not restrict.
type Selector struct {
	EntityIDs []string // exact ids
	Metrics   []string // exact names
	Parents   []string // ids of entities, one of which the series' entity belongs to
	Labels    []string // as "key=value", all of which the series' entity has
}

func (s *Selector) message() *energyv1.Selector {
	return &energyv1.Selector{EntityIds: s.EntityIDs, Metrics: s.Metrics, Parents: s.Parents, Labels: s.Labels}
}

// Window is the span of one answer: Fixed or Calendar.
type Window struct {
	// Fixed is a multiple of the series' base window. Windows count from 1970-01-01
	// 00:00 UTC.
	Fixed time.Duration
	// Calendar windows are those of Zone, an IANA name; empty is UTC.
	Calendar Calendar
	Zone     string
	// EntityZone, in place of Zone, has the windows of each entity's own zone.
	EntityZone bool
}

// message leaves it to the platform to judge: its errors say what is allowed.
func (w Window) message() *energyv1.Window {
	m := &energyv1.Window{Zone: w.Zone, EntityZone: w.EntityZone}
	switch {
	case w.Calendar != 0:
		m.Span = &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit(w.Calendar)}
	case w.Fixed != 0:
		m.Span = &energyv1.Window_Fixed{Fixed: durationpb.New(w.Fixed)}
	}
	return m
}

// check refuses what the contract cannot say.
func (w Window) check(call string) error {
	if w.Fixed != 0 && w.Calendar != 0 {
		return invalid(call, "window.fixed", "and window.calendar exclude each other: give one of them")
	}
	return nil
}

// Question asks for windows of series or of groups of them.
type Question struct {
	Selector Selector
	// Windows that overlap [Start, End) are answered. A zero Start is the first
	// reading, a zero End the last one.
	Start, End time.Time
	Window     Window // required
	GroupBy    GroupBy
	GroupLabel string // key of the label, with ByLabel
	GapFill    GapFill
	// KnownAt asks for the answer that was given at this time; zero is now.
	KnownAt time.Time
}

func (q *Question) message() *energyv1.QueryAggregatesRequest {
	return &energyv1.QueryAggregatesRequest{
		Selector: q.Selector.message(), Start: instant(q.Start), End: instant(q.End), Window: q.Window.message(),
		GroupBy: energyv1.GroupBy(q.GroupBy), GroupLabel: q.GroupLabel,
		GapFill: energyv1.GapFill(q.GapFill), KnownAt: instant(q.KnownAt),
	}
}

// instant returns a time of a request; the zero time is absent.
func instant(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// timeOf returns a time of an answer, in UTC; an absent one is zero.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func seriesOf(s *energyv1.SeriesKey) reading.Series {
	return reading.Series{EntityID: s.GetEntityId(), Metric: s.GetMetric(), Unit: s.GetUnit()}
}
