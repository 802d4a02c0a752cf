// Package fleet simulates meters and sensors whose true answer is known.
//
// A [Fleet] is a pure function of its [Config]: the same configuration yields the
// same deliveries, byte for byte, on every machine and with every build. All
// arithmetic is on integers, thousandths of a unit and milliseconds, so that
// neither fused multiplications nor a library's sine can change a value, and
// every series draws from a generator of its own, so that a fleet with more
// series contains the smaller one. The machine's zone database is asked for
// nothing but the bounds of local days.
//
// Readings arrive late, twice, out of order, corrected, withdrawn or not at all,
// as [Shares] tells, and rubbish arrives between them. The fleet knows what of
// this counts: it decides a reading's whole history at once, when the meter takes
// it. [Fleet.Rows] is the answer per window; it is computed by this package's own
// integer arithmetic, never by the code that it is there to test.
//
// # What is true
//
// No two contents of one (series, event time) are equal in quality rank and
// revision, so what counts does not depend on the order of arrival. Energy of
// a window is R(end) − R(start). Of registers and linear gauges R grows from each
// reading to the next: of a register evenly by the accepted step, of a gauge by
// the area under the line between readings at most an hour apart. Of intervals and
// means it grows evenly over the time that a reading covers. So windows that hold
// no reading have an energy too, and all sum to the whole. A fall of a register counts as 0 unless
// [Registers] declares a rollover or a reset; a register never jumps up.
//
// Memory is bounded by the number of series and by the readings under way: about
// 64 Ki in the current slice of time and those that arrive late.
package fleet

import (
	"fmt"
	"time"
)

// Fleet is a set of meters over a span of time. It is immutable and safe for
// concurrent use; every iteration begins anew.
type Fleet struct {
	config   Config
	odds     odds
	entities []*Entity
	series   []*Series
	start    int64 // Unix ms
	cadence  int64 // ms
	slots    int64 // readings that each meter takes
}

// New returns the fleet of a configuration. It reports every fault of it.
func New(c Config) (*Fleet, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	f := &Fleet{
		config:  c,
		start:   c.Start.UnixMilli(),
		cadence: c.Cadence.Milliseconds(),
	}
	f.slots = int64(c.Days) * dayMillis / f.cadence
	f.odds = newOdds(&c.Shares, f.cadence)
	locations := make([]*time.Location, len(c.Zones))
	for i, name := range c.Zones {
		var err error
		if locations[i], err = time.LoadLocation(name); err != nil {
			return nil, fmt.Errorf("fleet: zone %q: %w", name, err)
		}
	}
	f.build(locations)
	return f, nil
}

// Config returns what the fleet was made of.
func (f *Fleet) Config() Config { return f.config }

// Entities returns the entities in the order of their numbers.
func (f *Fleet) Entities() []*Entity { return f.entities }

// Series returns the series; a delivery names its own by the index in here.
func (f *Fleet) Series() []*Series { return f.series }

// Slots returns how many readings all meters take together, sent or not.
func (f *Fleet) Slots() int64 { return f.slots * int64(len(f.series)) }
