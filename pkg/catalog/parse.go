package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
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
	Description  string        `yaml:"description"`
	Kind         string        `yaml:"kind"`
	Integrate    string        `yaml:"integrate"`
	Label        string        `yaml:"label"`
	Unit         string        `yaml:"unit"`
	Length       time.Duration `yaml:"length"`
	Cadence      time.Duration `yaml:"cadence"`
	Window       time.Duration `yaml:"window"`
	MaxGap       time.Duration `yaml:"max_gap"`
	Lateness     time.Duration `yaml:"lateness"`
	Min          *float64      `yaml:"min"`
	Max          *float64      `yaml:"max"`
	MaxRate      float64       `yaml:"max_rate"`
	Rollover     float64       `yaml:"rollover"`
	DipTolerance float64       `yaml:"dip_tolerance"`
	Reset        string        `yaml:"reset"`
	Spike        float64       `yaml:"spike"`
	Stuck        time.Duration `yaml:"stuck"`
}

// Parse reads a catalogue from YAML. It reports every fault it finds, each with
// the metric or unit and what is allowed.
func Parse(epoch uint64, yamlDocument []byte) (*Catalog, error) {
	var doc document
	d := yaml.NewDecoder(bytes.NewReader(yamlDocument))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("parse catalogue: %w", err)
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
		undeclared: &Metric{Kind: Gauge, Window: defaultWindow, Lateness: defaultLateness},
	}
	if doc.FutureSkew != nil {
		c.futureSkew = *doc.FutureSkew
	}
	if doc.TimeFloor != nil {
		c.timeFloor = *doc.TimeFloor
	}
	faults := c.addUnits(doc.Units)
	for _, name := range slices.Sorted(maps.Keys(doc.Metrics)) {
		m, err := c.metric(name, doc.Metrics[name])
		faults = append(faults, err)
		c.metrics[name] = m
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("catalogue epoch %d: %w", epoch, err)
	}
	return c, nil
}

// addUnits takes over the units. The unit with num = den = 1 is its dimension's
// base.
func (c *Catalog) addUnits(units map[string]unitYAML) (faults []error) {
	for _, symbol := range slices.Sorted(maps.Keys(units)) {
		y := units[symbol]
		u := Unit{Symbol: symbol, Dimension: y.Dimension, Num: orOne(y.Num), Den: orOne(y.Den), Integral: y.Integral}
		if !exact(u.Num) || !exact(u.Den) {
			faults = append(faults, fmt.Errorf("unit %s: num and den must be positive integers below 2^53", symbol))
		}
		if u.Dimension == "" {
			faults = append(faults, fmt.Errorf("unit %s: dimension is missing", symbol))
		}
		if _, ok := units[u.Integral]; u.Integral != "" && !ok {
			faults = append(faults, fmt.Errorf("unit %s: integral %q is no declared unit", symbol, u.Integral))
		}
		if u.Num == u.Den {
			if other, ok := c.base[u.Dimension]; ok {
				faults = append(faults, fmt.Errorf("units %s and %s are both the base of %s: one must have a factor",
					other.Symbol, symbol, u.Dimension))
			}
			c.base[u.Dimension] = u
		}
		c.units[symbol] = u
	}
	for _, symbol := range slices.Sorted(maps.Keys(c.units)) {
		if u := c.units[symbol]; c.base[u.Dimension].Symbol == "" {
			faults = append(faults, fmt.Errorf("unit %s: dimension %s has no base unit (num 1, den 1)", symbol, u.Dimension))
		}
	}
	return faults
}

func orOne(x float64) float64 {
	if x == 0 {
		return 1
	}
	return x
}

func exact(x float64) bool { return x >= 1 && x < maxExact && x == math.Trunc(x) }

// metric builds one metric and reports all its faults.
func (c *Catalog) metric(name string, y metricYAML) (*Metric, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("metric %s: "+format, append([]any{name}, args...)...))
	}
	m := &Metric{
		Name: name, Description: y.Description, Unit: y.Unit,
		Length: y.Length, Cadence: y.Cadence, MaxGap: y.MaxGap,
		Window:   orDuration(y.Window, defaultWindow),
		Lateness: orDuration(y.Lateness, defaultLateness),
		Min:      y.Min, Max: y.Max,
		MaxRate: y.MaxRate, Rollover: y.Rollover, DipTol: y.DipTolerance,
		Spike: y.Spike, Stuck: y.Stuck,
	}
	unit, ok := c.units[y.Unit]
	if !ok {
		fault("unit %q is no declared unit", y.Unit)
	}
	choose(fault, "kind", y.Kind, &m.Kind, kinds)
	choose(fault, "integrate", y.Integrate, &m.Integrate, integrals)
	choose(fault, "label", y.Label, &m.Label, labels)
	choose(fault, "reset", y.Reset, &m.ResetToZero, resets)
	if !slices.Contains(baseWindows, m.Window) {
		fault("window %s must be 1m, 5m, 15m, 30m or 1h", m.Window)
	}
	if y.Length < 0 || y.Cadence < 0 || y.MaxGap < 0 || y.Lateness < 0 {
		fault("length, cadence, max_gap and lateness must not be negative")
	}
	if y.MaxRate < 0 || y.Rollover < 0 || y.DipTolerance < 0 {
		fault("max_rate, rollover and dip_tolerance must not be negative")
	}
	if y.Min != nil && y.Max != nil && *y.Min > *y.Max {
		fault("min %g is above max %g", *y.Min, *y.Max)
	}
	if m.Kind != Gauge && m.Integrate != NoIntegral {
		fault("integrate is for gauges, not for a %s", y.Kind)
	}
	if m.Kind != Register && (y.MaxRate > 0 || y.Rollover > 0 || y.DipTolerance > 0 || m.ResetToZero) {
		fault("max_rate, rollover, dip_tolerance and reset are for registers")
	}
	if y.Spike < 0 || y.Spike > 0 && y.Spike < minSpike {
		fault("spike %g must be at least %d robust standard deviations, or 0 for none", y.Spike, minSpike)
	}
	if m.Kind == Register && y.Spike > 0 {
		fault("spike is not for registers, whose values go on rising")
	}
	if y.Stuck < 0 || y.Stuck > maxStuck {
		fault("stuck %s must be from 0s to %s", y.Stuck, maxStuck)
	}
	m.EnergyUnit, m.PowerUnit = c.energyUnits(m, unit)
	return m, errors.Join(faults...)
}

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
func choose[T any](fault func(string, ...any), field, name string, target *T, choices map[string]T) {
	value, ok := choices[name]
	if !ok {
		allowed := slices.DeleteFunc(slices.Sorted(maps.Keys(choices)), func(s string) bool { return s == "" })
		fault("%s %q must be one of %v", field, name, allowed)
		return
	}
	*target = value
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
