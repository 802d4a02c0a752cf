package fleet

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Spans in milliseconds.
const (
	minuteMillis = 60_000
	hourMillis   = 60 * minuteMillis
	dayMillis    = 24 * hourMillis
)

// Config is what a fleet is made of.
type Config struct {
	Seed      uint64        `yaml:"seed"`
	Series    int           `yaml:"series"`
	Start     time.Time     `yaml:"start"` // of the first readings; whole seconds
	Days      int           `yaml:"days"`  // of 24 hours
	Cadence   time.Duration `yaml:"cadence"`
	Window    time.Duration `yaml:"window"` // of the true answer, beside days; a multiple of 15 minutes
	Zones     []string      `yaml:"zones"`  // IANA names, given to the entities in turn
	Shares    Shares        `yaml:"shares"`
	Registers Registers     `yaml:"registers"`
}

// Shares says how much goes wrong, each from 0 to 1.
type Shares struct {
	Gaps        float64 `yaml:"gaps"`
	Duplicates  float64 `yaml:"duplicates"`
	Late        float64 `yaml:"late"`
	Reordered   float64 `yaml:"reordered"`
	Corrected   float64 `yaml:"corrected"`
	Estimated   float64 `yaml:"estimated"`
	Substituted float64 `yaml:"substituted"`
	Withdrawn   float64 `yaml:"withdrawn"`
	Malformed   float64 `yaml:"malformed"`
	Resets      float64 `yaml:"resets"`
	Exchanges   float64 `yaml:"exchanges"`
	Rollovers   float64 `yaml:"rollovers"`
}

// Share is one of the Shares.
type Share struct {
	Name  string
	Help  string // what it is a share of and what happens
	Value *float64
}

// All returns the shares with their names.
func (s *Shares) All() []Share {
	return []Share{
		{"gaps", "share of readings that are never sent, in outages", &s.Gaps},
		{"duplicates", "share of readings that are sent again up to 2 days later", &s.Duplicates},
		{"late", "share of readings that arrive 2 hours to 7 days late", &s.Late},
		{"reordered", "share of readings that arrive behind up to 8 later ones", &s.Reordered},
		{"corrected", "share of readings that are corrected, some of them twice", &s.Corrected},
		{"estimated", "share of readings that are first estimated", &s.Estimated},
		{"substituted", "share of readings that stay estimated", &s.Substituted},
		{"withdrawn", "share of readings that are withdrawn", &s.Withdrawn},
		{"malformed", "share of readings beside which rubbish is sent", &s.Malformed},
		{"resets", "share of register readings before which the index falls to 0", &s.Resets},
		{"exchanges", "share of register readings before which a meter of lower index takes over", &s.Exchanges},
		{"rollovers", "share of registers that reach their last number", &s.Rollovers},
	}
}

// Registers is what the catalogue declares of registers, in whole units. The
// zero value stands for the built-in catalogue, which declares a greatest rate
// and neither rollover nor reset. With a MaxRate that meters do reach, a step may
// be exactly at the limit: it is within it here, while floats may differ.
type Registers struct {
	MaxRate     int64 `yaml:"max_rate"`      // an hour; 0 is 1,000,000 kWh and 100,000 m³
	Rollover    int64 `yaml:"rollover"`      // modulus; 0 is not declared
	ResetToZero bool  `yaml:"reset_to_zero"` // a fall is a reset to zero
}

// Default returns the configuration of 100 series over 60 days of 15 minutes
// with some of everything. The span holds the changes of clocks of its zones.
func Default() Config {
	return Config{
		Seed:    1,
		Series:  100,
		Start:   time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC),
		Days:    60,
		Cadence: 15 * time.Minute,
		Window:  15 * time.Minute,
		Zones:   slices.Collect(zoneNames),
		Shares: Shares{
			Gaps: 0.002, Duplicates: 0.01, Late: 0.005, Reordered: 0.02, Corrected: 0.002, Estimated: 0.005,
			Substituted: 0.001, Withdrawn: 0.0005, Malformed: 0.001, Resets: 1e-4, Exchanges: 1e-4, Rollovers: 0.05,
		},
	}
}

// Bounds of a configuration. Those of registers keep their arithmetic in 64
// bits; the last year keeps every time below the year 2262.
const (
	maxSeries   = 1_000_000
	maxDays     = 3660
	maxModulus  = 1_000_000_000
	maxMaxRate  = 10_000_000
	minYear     = 2001
	maxYear     = 2099
	leastMoment = time.Second
	leastWindow = 15 * time.Minute // the base window of every metric
	mostWindow  = 366 * 24 * time.Hour
)

// validate reports every fault.
func (c *Config) validate() error {
	var faults []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	require(c.Series >= 1 && c.Series <= maxSeries, "series: %d is not from 1 to %d", c.Series, maxSeries)
	require(c.Days >= 1 && c.Days <= maxDays, "days: %d is not from 1 to %d", c.Days, maxDays)
	year := c.Start.UTC().Year()
	require(year >= minYear && year <= maxYear, "start: the year %d is not from %d to %d", year, minYear, maxYear)
	require(c.Start.Nanosecond() == 0, "start: %s is not a whole second", c.Start)
	require(c.Cadence >= leastMoment && c.Cadence <= 24*time.Hour && c.Cadence%leastMoment == 0,
		"cadence: %s is not whole seconds, at most 24h", c.Cadence)
	require(c.Window >= leastWindow && c.Window <= mostWindow && c.Window%leastWindow == 0,
		"window: %s is not a multiple of %s up to %s", c.Window, leastWindow, mostWindow)
	require(len(c.Zones) > 0, "zones: none is given; UTC is one")
	for _, s := range c.Shares.All() {
		require(*s.Value >= 0 && *s.Value <= 1, "%s: %g is not from 0 to 1", s.Name, *s.Value)
	}
	r := c.Registers
	require(r.MaxRate >= 0 && r.MaxRate <= maxMaxRate, "max_rate: %d is not from 0 to %d", r.MaxRate, maxMaxRate)
	require(r.Rollover >= 0 && r.Rollover <= maxModulus, "rollover: %d is not from 0 to %d", r.Rollover, maxModulus)
	return errors.Join(faults...)
}
