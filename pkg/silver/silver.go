// Package silver judges readings one at a time: it normalizes them to the
// canonical unit and to the start of their interval, and decides by an ordered
// table of rules whether they count.
//
// A judgement depends on the reading, its stamp, its waivers and the catalogue
// alone (invariant 6). The clock of every rule is the reading's receive time, so that a
// reading judged again a year later gets the same judgement.
package silver

import (
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Judgement is what silver decided of one reading.
type Judgement struct {
	Reading  reading.Reading // normalized if accepted or a Hearing's rejection, else as received
	Stamp    reading.Stamp
	Flags    reading.Rules // rules that fired without rejecting
	Refused  reading.Rules // rules that rejected; empty if accepted
	Waived   bool          // a rule that would have refused it was waived
	Released int64         // when it was waived, in Unix ns; 0 unless Waived
	Epoch    uint64        // since which readings of the metric are judged like this
	Detail   string        // why it was refused and what mends it; empty if accepted
	accepted bool
}

// Accepted reports whether the reading counts.
func (j *Judgement) Accepted() bool { return j.accepted }

// Series returns the series of an accepted reading.
func (j *Judgement) Series() reading.Series {
	return reading.Series{EntityID: j.Reading.EntityID, Metric: j.Reading.Metric, Unit: j.Reading.Unit}
}

// Judge judges readings by one catalogue.
type Judge struct{ catalog *catalog.Catalog }

// NewJudge returns a judge for a catalogue.
func NewJudge(c *catalog.Catalog) *Judge { return &Judge{catalog: c} }

// Catalog returns the catalogue that the judge applies.
func (j *Judge) Catalog() *catalog.Catalog { return j.catalog }

// Bench is a judge prepared for the readings of one entity, metric and unit,
// as a message's dictionary names them. What depends on the names alone is
// decided once. It is used by one goroutine.
type Bench struct {
	epoch   uint64
	subject subject // the reading in hand, with what is known of its names
	byName  verdict
}

// Bench prepares for readings of an entity and metric that come with a unit.
func (j *Judge) Bench(entityID, metric, unit string) *Bench {
	b := &Bench{epoch: j.catalog.Metric(reading.Series{Metric: metric}).Judged}
	b.subject = subject{catalog: j.catalog, entityID: entityID, metric: metric, unit: unit}
	b.subject.resolution, b.subject.unresolved = j.catalog.Resolve(metric, unit)
	b.byName = apply(nameRules, &b.subject, nil)
	return b
}

// Fit reports whether readings of these names can be accepted at all.
func (b *Bench) Fit() bool { return b.byName.refused == 0 }

// Judge decides on one reading of the bench's names. The waiver of a release lets
// it pass rules; without one it is nil.
func (b *Bench) Judge(r reading.Reading, stamp reading.Stamp, waiver *reading.Waiver) Judgement {
	s := &b.subject
	s.reading, s.received = r, time.Unix(0, stamp.Received)
	if s.unresolved == nil {
		s.value = s.resolution.Conversion.Apply(r.Value)
		s.exchange = s.resolution.Conversion.Apply(r.ExchangeStart)
		s.start, s.length = interval(s.resolution.Metric, &s.reading)
	}
	names, values := &b.byName, apply(valueRules, s, waiver)
	judgement := Judgement{
		Reading: r, Stamp: stamp, Flags: names.flags | values.flags, Refused: names.refused | values.refused, Epoch: b.epoch,
	}
	if judgement.Refused != 0 {
		judgement.Detail = strings.Join(slices.Concat(names.details, values.details), "; ")
		return judgement
	}
	judgement.accepted = true
	if values.waived != 0 {
		judgement.Waived, judgement.Released = true, waiver.At
	}
	judgement.Reading = s.canonical()
	return judgement
}

// Epoch returns the epoch since which readings of the bench's metric are judged
// as they are by it.
func (b *Bench) Epoch() uint64 { return b.epoch }

// canonical returns the reading in canonical unit, from the start of its
// interval.
func (s *subject) canonical() reading.Reading {
	r := s.reading
	r.Unit = s.resolution.Unit
	r.Value = s.value + 0 // −0 becomes 0
	r.ExchangeStart = s.exchange + 0
	r.Time, r.Length = s.start, s.length
	return r
}

// interval returns the start and the span that a reading covers: from the
// reading, else from the catalogue. Readings at an instant cover nothing.
func interval(m *catalog.Metric, r *reading.Reading) (start int64, length time.Duration) {
	if !m.Interval() {
		return r.Time, 0
	}
	length = r.Length
	if length == 0 {
		length = m.Length
	}
	if m.Label == catalog.LabelEnd {
		return r.Time - int64(length), length
	}
	return r.Time, length
}
