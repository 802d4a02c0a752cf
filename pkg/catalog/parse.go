package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// What holds where a catalogue says nothing.
const (
	defaultWindow     = 15 * time.Minute
	defaultLateness   = time.Hour
	defaultFutureSkew = 5 * time.Minute
)

const (
	// minSpike keeps from flagging what is ordinary: one of 740 normally
	// distributed values is further than 3 standard deviations from the middle.
	minSpike = 3
	// maxStuck bounds how far a reader looks back for the start of a run.
	maxStuck = 31 * 24 * time.Hour
)

var defaultTimeFloor = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var baseWindows = []time.Duration{
	time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
}

// document is the YAML form of a catalogue.
type document struct {
	FutureSkew *time.Duration        `yaml:"future_skew"`
	TimeFloor  *time.Time            `yaml:"time_floor"`
	Units      map[string]unitYAML   `yaml:"units"`
	Metrics    map[string]metricYAML `yaml:"metrics"`
}

type unitYAML struct {
	Dimension string  `yaml:"dimension"`
	Num       float64 `yaml:"num"`
	Den       float64 `yaml:"den"`
	Integral  string  `yaml:"integral"`
}

type metricYAML struct {
	Description  string         `yaml:"description"`
	Kind         string         `yaml:"kind"`
	Integrate    string         `yaml:"integrate"`
	Label        string         `yaml:"label"`
	Unit         string         `yaml:"unit"`
	Length       time.Duration  `yaml:"length"`
	Cadence      time.Duration  `yaml:"cadence"`
	Window       *time.Duration `yaml:"window"`
	MaxGap       time.Duration  `yaml:"max_gap"`
	Lateness     *time.Duration `yaml:"lateness"`
	Min          *float64       `yaml:"min"`
	Max          *float64       `yaml:"max"`
	MaxRate      float64        `yaml:"max_rate"`
	Rollover     float64        `yaml:"rollover"`
	DipTolerance float64        `yaml:"dip_tolerance"`
	Reset        string         `yaml:"reset"`
	Spike        float64        `yaml:"spike"`
	Stuck        time.Duration  `yaml:"stuck"`

	Expectations map[string]expectationYAML `yaml:"expectations"`
}

type expectationYAML struct {
	Expect string `yaml:"expect"`
	Else   string `yaml:"else"`
}

// Parse reads a catalogue from YAML. It reports every fault it finds, each with
// its line, the metric or unit, and what is allowed.
func Parse(epoch uint64, yamlDocument []byte) (*Catalog, error) {
	doc, lines, faults := read(yamlDocument)
	if doc == nil {
		return nil, errors.Join(faults...)
	}
	sum := sha256.Sum256(yamlDocument)
	c := &Catalog{
		epoch:      epoch,
		hash:       hex.EncodeToString(sum[:]),
		document:   string(yamlDocument),
		futureSkew: defaultFutureSkew,
		timeFloor:  defaultTimeFloor,
		units:      make(map[string]Unit, len(doc.Units)),
		base:       make(map[string]Unit),
		metrics:    make(map[string]*Metric, len(doc.Metrics)),
		former:     make(map[string]*Metric),
		undeclared: &Metric{
			Kind: Gauge, Window: defaultWindow, Lateness: defaultLateness, Judged: epoch, Folded: epoch,
		},
	}
	if doc.FutureSkew != nil {
		c.futureSkew = *doc.FutureSkew
	}
	if doc.TimeFloor != nil {
		c.timeFloor = *doc.TimeFloor
	}
	p := &parser{catalog: c, lines: lines, faults: faults}
	p.units(doc.Units)
	for _, name := range slices.Sorted(maps.Keys(doc.Metrics)) {
		c.metrics[name] = p.metric(name, doc.Metrics[name])
	}
	if err := errors.Join(p.faults...); err != nil {
		return nil, err
	}
	return c, nil
}

// parser builds a catalogue and gathers what is wrong with its document.
type parser struct {
	catalog *Catalog
	lines   lines
	faults  []error
}

// fault notes what is wrong with the part of the document that path names.
func (p *parser) fault(path []string, format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf("line %d: "+format, append([]any{p.lines.of(path)}, args...)...))
}

// units takes over the units. The unit with num = den = 1 is its dimension's
// base.
func (p *parser) units(units map[string]unitYAML) {
	c := p.catalog
	for _, symbol := range slices.Sorted(maps.Keys(units)) {
		y := units[symbol]
		u := Unit{Symbol: symbol, Dimension: y.Dimension, Num: orOne(y.Num), Den: orOne(y.Den), Integral: y.Integral}
		fault := func(format string, args ...any) {
			p.fault([]string{"units", symbol}, "unit %s: "+format, append([]any{symbol}, args...)...)
		}
		if !exact(u.Num) || !exact(u.Den) {
			fault("num and den must be positive integers below 2^53")
		}
		if u.Dimension == "" {
			fault("dimension is missing")
		}
		if _, ok := units[u.Integral]; u.Integral != "" && !ok {
			fault("integral %q is no declared unit", u.Integral)
		}
		if u.Num == u.Den {
			if other, ok := c.base[u.Dimension]; ok {
				fault("%s is the base of %s already: one of them must have a factor", other.Symbol, u.Dimension)
			}
			c.base[u.Dimension] = u
		}
		c.units[symbol] = u
	}
	for _, symbol := range slices.Sorted(maps.Keys(c.units)) {
		u := c.units[symbol]
		if c.base[u.Dimension].Symbol == "" {
			p.fault([]string{"units", symbol}, "unit %s: dimension %s has no base unit (num 1, den 1)", symbol, u.Dimension)
			continue
		}
		p.exact([]string{"units", symbol}, u, c.base[u.Dimension])
	}
}

// exact reports a unit whose factor to another of its dimension is not exact.
func (p *parser) exact(path []string, from, to Unit) {
	if _, err := convert(from, to); err != nil && exact(from.Num) && exact(from.Den) {
		p.fault(path, "unit %s: %w", from.Symbol, err)
	}
}

func orOne(x float64) float64 {
	if x == 0 {
		return 1
	}
	return x
}

func exact(x float64) bool { return x >= 1 && x < maxExact && x == math.Trunc(x) }

// metric builds one metric and reports all its faults.
func (p *parser) metric(name string, y metricYAML) *Metric {
	c := p.catalog
	fault := func(field, format string, args ...any) {
		p.fault([]string{"metrics", name, field}, "metric %s: "+format, append([]any{name}, args...)...)
	}
	m := &Metric{
		Name: name, Description: y.Description, Unit: y.Unit,
		Length: y.Length, Cadence: y.Cadence, MaxGap: y.MaxGap,
		Window:   orDuration(y.Window, defaultWindow),
		Lateness: orDuration(y.Lateness, defaultLateness),
		Min:      y.Min, Max: y.Max,
		MaxRate: y.MaxRate, Rollover: y.Rollover, DipTol: y.DipTolerance,
		Spike: y.Spike, Stuck: y.Stuck,
		Judged: c.epoch, Folded: c.epoch,
	}
	unit, ok := c.units[y.Unit]
	if !ok {
		fault("unit", "unit %q is no declared unit", y.Unit)
	}
	for _, symbol := range slices.Sorted(maps.Keys(c.units)) {
		if u := c.units[symbol]; ok && u.Dimension == unit.Dimension {
			p.exact([]string{"metrics", name, "unit"}, u, unit)
		}
	}
	choose(fault, "kind", y.Kind, &m.Kind, kinds)
	choose(fault, "integrate", y.Integrate, &m.Integrate, integrals)
	choose(fault, "label", y.Label, &m.Label, labels)
	choose(fault, "reset", y.Reset, &m.ResetToZero, resets)
	m.check(fault)
	m.Expectations = p.expectations(name, y.Expectations)
	m.EnergyUnit, m.PowerUnit = c.energyUnits(m, unit)
	return m
}

// check reports what does not go together in a metric.
func (m *Metric) check(fault func(field, format string, args ...any)) {
	if !slices.Contains(baseWindows, m.Window) {
		fault("window", "window %s must be 1m, 5m, 15m, 30m or 1h", m.Window)
	}
	for _, d := range [...]struct {
		field string
		value time.Duration
	}{{"length", m.Length}, {"cadence", m.Cadence}, {"max_gap", m.MaxGap}, {"lateness", m.Lateness}} {
		if d.value < 0 {
			fault(d.field, "%s %s must not be negative", d.field, d.value)
		}
	}
	for _, x := range [...]struct {
		field string
		value float64
	}{{"max_rate", m.MaxRate}, {"rollover", m.Rollover}, {"dip_tolerance", m.DipTol}} {
		switch {
		case !finite(x.value):
			fault(x.field, "%s %g must be a finite number", x.field, x.value)
		case x.value < 0:
			fault(x.field, "%s %g must not be negative", x.field, x.value)
		case x.value > 0 && m.Kind != Register:
			fault(x.field, "%s is for registers", x.field)
		}
	}
	if m.ResetToZero && m.Kind != Register {
		fault("reset", "reset is for registers")
	}
	for _, limit := range [...]struct {
		field string
		value *float64
	}{{"min", m.Min}, {"max", m.Max}} {
		if limit.value != nil && !finite(*limit.value) {
			fault(limit.field, "%s %g must be a finite number: leave it out for no limit", limit.field, *limit.value)
		}
	}
	if m.Min != nil && m.Max != nil && *m.Min > *m.Max {
		fault("min", "min %g is above max %g", *m.Min, *m.Max)
	}
	if m.Kind != Gauge && m.Integrate != NoIntegral {
		fault("integrate", "integrate is for gauges")
	}
	if !finite(m.Spike) || m.Spike < 0 || m.Spike > 0 && m.Spike < minSpike {
		fault("spike", "spike %g must be at least %d robust standard deviations, or 0 for none", m.Spike, minSpike)
	}
	if m.Kind == Register && m.Spike > 0 {
		fault("spike", "spike is not for registers, whose values go on rising")
	}
	if m.Stuck < 0 || m.Stuck > maxStuck {
		fault("stuck", "stuck %s must be from 0s to %s", m.Stuck, maxStuck)
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// energyUnits returns the unit of a metric's energies and of their rate.
func (c *Catalog) energyUnits(m *Metric, unit Unit) (energy, power string) {
	if m.Kind == Gauge {
		if m.Integrate == NoIntegral || unit.Integral == "" {
			return "", ""
		}
		return unit.Integral, unit.Symbol
	}
	for _, symbol := range slices.Sorted(maps.Keys(c.units)) {
		if c.units[symbol].Integral == unit.Symbol {
			return unit.Symbol, symbol
		}
	}
	return unit.Symbol, unit.Symbol + "/h"
}

var (
	kinds     = map[string]Kind{"register": Register, "interval": Interval, "gauge": Gauge}
	integrals = map[string]Integrate{"": NoIntegral, "none": NoIntegral, "linear": Linear, "step": Step, "mean": Mean}
	labels    = map[string]Label{"": LabelStart, "start": LabelStart, "end": LabelEnd}
	resets    = map[string]bool{"": false, "none": false, "zero": true}
)

// nameOf returns the name of a choice, the last in order where it has several.
func nameOf[T comparable](choices map[string]T, choice T) string {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(choices))) {
		if choices[name] == choice {
			return name
		}
	}
	return fmt.Sprintf("unknown(%d)", any(choice)) // %d: %v would come back here
}

// choose sets target to the choice of that name or reports what is allowed.
func choose[T any](fault func(field, format string, args ...any), field, name string, target *T, choices map[string]T) {
	value, ok := choices[name]
	if !ok {
		allowed := slices.DeleteFunc(slices.Sorted(maps.Keys(choices)), func(s string) bool { return s == "" })
		fault(field, "%s %q must be one of %v", field, name, allowed)
		return
	}
	*target = value
}

func orDuration(d *time.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return *d
}
