package job

import (
	"math"
	"slices"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
)

// Selection narrows a replay. The zero value takes all. Times are Unix ns, 0 is no
// bound; ranges hold their first and not their last.
type Selection struct {
	FirstSequence uint64   `json:"first_sequence,omitempty"` // of messages in the layer's stream
	LastSequence  uint64   `json:"last_sequence,omitempty"`  // inclusive; 0 is the end
	ReceivedFrom  int64    `json:"received_from,omitempty"`  // when the broker took readings in
	ReceivedTo    int64    `json:"received_to,omitempty"`
	EventFrom     int64    `json:"event_from,omitempty"` // what readings are about
	EventTo       int64    `json:"event_to,omitempty"`
	Entities      []string `json:"entities,omitempty"` // none is all
	Metrics       []string `json:"metrics,omitempty"`
}

// All reports whether the selection takes every reading.
func (s *Selection) All() bool {
	return s.FirstSequence <= 1 && s.LastSequence == 0 && s.ReceivedFrom == 0 && s.ReceivedTo == 0 &&
		s.EventFrom == 0 && s.EventTo == 0 && len(s.Entities) == 0 && len(s.Metrics) == 0
}

// Takes reports whether a version of a series is selected.
func (s *Selection) Takes(series *reading.Series, v *gold.Version) bool {
	return s.TakesSeries(series) && s.TakesTimes(v)
}

// TakesTimes reports whether a version of a series that is selected is.
func (s *Selection) TakesTimes(v *gold.Version) bool {
	return within(v.Stamp.Received, s.ReceivedFrom, s.ReceivedTo) && within(v.Time, s.EventFrom, s.EventTo)
}

// TakesSeries reports whether readings of a series can be selected.
func (s *Selection) TakesSeries(series *reading.Series) bool {
	return (len(s.Entities) == 0 || slices.Contains(s.Entities, series.EntityID)) &&
		(len(s.Metrics) == 0 || slices.Contains(s.Metrics, series.Metric))
}

// TakesRefused reports whether an entry of the quarantine is selected. One that was
// not decoded has neither names nor an event time.
func (s *Selection) TakesRefused(r *goldstore.QuarantineRow) bool {
	series := reading.Series{EntityID: r.Reading.EntityID, Metric: r.Reading.Metric, Unit: r.Reading.Unit}
	return s.TakesSeries(&series) && within(r.Stamp.Received, s.ReceivedFrom, s.ReceivedTo) &&
		within(r.Reading.Time, s.EventFrom, s.EventTo)
}

func within(t, from, to int64) bool {
	if to == 0 {
		to = math.MaxInt64
	}
	return (from == 0 || t >= from) && t < to
}
