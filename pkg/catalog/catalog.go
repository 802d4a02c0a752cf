// Package catalog says what metrics mean: their kind, canonical unit, accepted
// units, limits and base window.
//
// A Catalog is immutable. Looking up a metric is total: a metric that the
// catalogue does not declare is a gauge in the base unit of the dimension of
// the unit it came with, or in that very unit when the unit is not known.
package catalog

import (
	_ "embed" // the built-in catalogue
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// Kind is how the values of a metric are to be understood.
type Kind uint8

// The kinds, numbered as in the wire contract.
const (
	KindUnknown Kind = iota
	Register         // cumulative index
	Interval         // energy of [time, time+length)
	Gauge            // a quantity at a time, or its mean over an interval
)

// String returns the kind's name as it stands in a catalogue's document.
func (k Kind) String() string { return nameOf(kinds, k) }

// Integrate is how a gauge becomes energy.
type Integrate uint8

// The integrations of a gauge.
const (
	NoIntegral Integrate = iota
	Linear               // trapezoid between neighbours
	Step                 // a value holds until the next
	Mean                 // a value is the mean of [time, time+length)
)

// String returns the integration's name as it stands in a catalogue's document.
func (i Integrate) String() string { return nameOf(integrals, i) }

// Label is which end of its interval a timestamp names.
type Label uint8

// The labels.
const (
	LabelStart Label = iota
	LabelEnd
)

// Metric is what the catalogue says of one metric. Values are in Unit.
type Metric struct {
	Name        string
	Description string
	Kind        Kind
	Integrate   Integrate
	Label       Label
	Unit        string
	EnergyUnit  string        // unit of energies and advances; empty when there are none
	PowerUnit   string        // unit of EnergyUnit per hour; empty when there is none
	Length      time.Duration // of a reading that gives none; 0 when undeclared
	Cadence     time.Duration // expected distance of readings; 0 when undeclared
	Window      time.Duration // base window
	MaxGap      time.Duration // greatest distance over which a pair counts as observed
	Lateness    time.Duration // how long after its end a window stays open
	Min, Max    *float64
	MaxRate     float64 // greatest advance of a register, in Unit an hour; 0 when undeclared
	Rollover    float64 // modulus of a register; 0 when undeclared
	DipTol      float64 // fall of a register that is noise, in Unit
	ResetToZero bool    // a fall of a register is a reset to zero
	// Spike flags a reading that is further from the median of its base window
	// than so many robust standard deviations; 0 flags none.
	Spike float64
	// Stuck flags a reading whose value has not changed for so long; 0 flags
	// none.
	Stuck time.Duration

	// Expectations are in the order of their names.
	Expectations []Expectation

	// Judged and Folded are the epochs since which readings of the metric are
	// judged as they are now, and statistics of it computed as they are now. They
	// go with judgements and rows in place of the epoch in force, so that an epoch
	// that changes nothing for a metric changes none of its rows.
	Judged, Folded uint64
}

// Interval reports whether a reading of the metric covers a span of time.
func (m *Metric) Interval() bool { return m.Kind == Interval || m.Integrate == Mean }

// Paired reports whether the time between two readings of the metric is
// accounted for by the pair of them.
func (m *Metric) Paired() bool {
	return m.Kind == Register || m.Kind == Gauge && (m.Integrate == Linear || m.Integrate == Step)
}

// Catalog is one epoch of the metric catalogue.
type Catalog struct {
	epoch      uint64
	hash       string
	document   string
	futureSkew time.Duration
	timeFloor  time.Time
	units      map[string]Unit
	base       map[string]Unit // base unit by dimension
	metrics    map[string]*Metric
	undeclared *Metric
	history    History
	former     map[string]*Metric // undeclared ones that an earlier epoch declared
	activated  time.Time
}

//go:embed default.yaml
var defaultYAML []byte

// Default returns the built-in catalogue as epoch 1. It covers common
// electrical, gas, water and heat quantities.
func Default() (*Catalog, error) { return Parse(1, defaultYAML) }

// Epoch returns the number of the catalogue's epoch.
func (c *Catalog) Epoch() uint64 { return c.epoch }

// Activated returns when the epoch came into force, by the broker's clock in
// whole µs; the zero time for a catalogue that is no epoch of a platform.
func (c *Catalog) Activated() time.Time { return c.activated }

// Hash returns the SHA-256 of the catalogue's document in hexadecimal.
func (c *Catalog) Hash() string { return c.hash }

// Document returns the YAML that the catalogue was read from.
func (c *Catalog) Document() string { return c.document }

// FutureSkew returns how far ahead of its receive time a reading may be.
func (c *Catalog) FutureSkew() time.Duration { return c.futureSkew }

// TimeFloor returns the earliest event time that a reading may have.
func (c *Catalog) TimeFloor() time.Time { return c.timeFloor }

// Metric returns what holds for the readings of a series. It is never nil; the
// Unit of an undeclared metric is empty, since the series names it.
func (c *Catalog) Metric(s reading.Series) *Metric { return c.metric(s.Metric) }

func (c *Catalog) metric(name string) *Metric {
	if m, ok := c.metrics[name]; ok {
		return m
	}
	if m, ok := c.former[name]; ok {
		return m
	}
	return c.undeclared
}

// Metrics returns the declared metrics by name.
func (c *Catalog) Metrics() []*Metric {
	out := make([]*Metric, 0, len(c.metrics))
	for _, name := range slices.Sorted(maps.Keys(c.metrics)) {
		out = append(out, c.metrics[name])
	}
	return out
}

// Undeclared returns what holds for metrics that the catalogue does not
// declare. Its name and units are empty.
func (c *Catalog) Undeclared() *Metric { return c.undeclared }

// Resolution is how the readings of one metric and unit are taken in.
type Resolution struct {
	Metric     *Metric
	Unit       string // canonical unit of the series
	Conversion Conversion
	KnownUnit  bool // whether the catalogue knows the unit
}

// ErrDimension says that a unit measures something else than the metric.
var ErrDimension = errors.New("unit of another dimension")

// ErrUnknownUnit says that the catalogue does not declare a unit.
var ErrUnknownUnit = errors.New("no known unit")

// Resolve returns how to take in a reading of a metric that came with a unit.
// An empty unit stands for the metric's own. Of a declared metric it returns
// ErrDimension for a unit of another dimension and ErrUnknownUnit for one that is
// not declared, both wrapped with what is accepted.
func (c *Catalog) Resolve(metric, unit string) (Resolution, error) {
	r, fits := c.resolve(metric, unit)
	if fits {
		return r, nil
	}
	accepted := c.accepted(r.Metric)
	takes := fmt.Sprintf("metric %s takes %s", metric, strings.Join(accepted, ", "))
	if r.KnownUnit {
		return r, fmt.Errorf("%s, not %s: %w", takes, unit, ErrDimension)
	}
	mend := "send one of those, or declare the unit in the catalogue"
	if alike := slices.IndexFunc(accepted, func(a string) bool { return strings.EqualFold(a, unit) }); alike >= 0 {
		mend = "did you mean " + accepted[alike] + "?"
	}
	return r, fmt.Errorf("%s, and %q is %w: %s", takes, unit, ErrUnknownUnit, mend)
}

// resolve is Resolve without the reason why metric and unit do not fit. Units of
// one dimension always do: Parse refuses factors that are not exact.
func (c *Catalog) resolve(metric, unit string) (r Resolution, fits bool) {
	u, known := c.units[unit]
	m := c.metric(metric)
	declared := m.Unit != ""
	switch {
	case declared && (unit == "" || unit == m.Unit):
		return Resolution{m, m.Unit, identity, true}, true
	case declared && !known:
		return Resolution{Metric: m}, false
	case declared:
		conversion, err := convert(u, c.units[m.Unit])
		if err != nil {
			return Resolution{Metric: m, KnownUnit: true}, false
		}
		return Resolution{m, m.Unit, conversion, true}, true
	case !known:
		return Resolution{m, unit, identity, unit == ""}, true
	}
	base := c.base[u.Dimension]
	conversion, err := convert(u, base)
	if err != nil {
		return Resolution{Metric: m, KnownUnit: true}, false
	}
	return Resolution{m, base.Symbol, conversion, true}, true
}

// accepted returns the units that a metric takes, its own first.
func (c *Catalog) accepted(m *Metric) []string {
	var others []string
	for symbol, u := range c.units {
		if u.Dimension == c.units[m.Unit].Dimension && symbol != m.Unit {
			others = append(others, symbol)
		}
	}
	slices.Sort(others)
	return append([]string{m.Unit}, others...)
}
