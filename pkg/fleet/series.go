package fleet

import (
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// Kind is how the values of a series become energy.
type Kind uint8

// The kinds.
const (
	Plain    Kind = iota // a gauge without energy
	Register             // a cumulative index
	Interval             // energy of [time, time+length)
	Mean                 // a mean over [time, time+length)
	Linear               // a gauge at an instant, linear in between
)

var kindNames = [...]string{"plain", "register", "interval", "mean", "linear"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Entity is a meter or sensor.
type Entity struct {
	ID       string
	Zone     string // IANA name
	location *time.Location
}

// Location returns the entity's zone.
func (e *Entity) Location() *time.Location { return e.location }

// Series is one metric of an entity.
type Series struct {
	Entity     *Entity
	Metric     string
	Unit       string // canonical
	SentUnit   string // as readings name it
	EnergyUnit string // empty when the series has no energy
	Kind       Kind
	Length     time.Duration // that each reading covers and names; 0 for an instant

	limits  bool            // the catalogue bounds its values
	scale   float64         // thousandths of the canonical unit in a SentUnit
	grain   int64           // values are multiples of it, in thousandths
	maxRate int64           // of a register, in units an hour
	modulus int64           // of a register, in thousandths
	first   int64           // index that a register begins with, in thousandths
	phase   int64           // of its readings behind the cadence's tick, ms
	jitter  int64           // greatest further delay, ms
	quality reading.Quality // of what it measures
	load    load
}

// Key returns the series' name in answers.
func (s *Series) Key() reading.Series {
	return reading.Series{EntityID: s.Entity.ID, Metric: s.Metric, Unit: s.Unit}
}

// template is what the series of a metric have in common.
type template struct {
	metric, unit, subunit string
	energy                string
	kind                  Kind
	limits                bool
	maxRate               int64
	grain                 int64
	least, most           int64 // of the load's size, in thousandths
	shape                 *shape
}

// models are the meters on the market: what an entity is called and measures.
var models = [...]struct {
	name      string
	templates []template
}{
	{"meter", []template{
		{"active_energy_import", "kWh", "Wh", "kWh", Register, false, 1_000_000, 1, 300, 4_000, &household},
		{"voltage", "V", "", "", Plain, true, 0, 100, 0, 8_000, &mains},
		{"active_energy_export", "kWh", "Wh", "kWh", Register, false, 1_000_000, 1, 1_000, 9_000, &sun},
	}},
	{"submeter", []template{
		{"active_energy", "kWh", "Wh", "kWh", Interval, false, 0, 1, 100, 3_000, &office},
		{"active_power_mean", "kW", "W", "kWh", Mean, false, 0, 1, 100, 3_000, &office},
	}},
	{"sensor", []template{
		{"active_power", "kW", "W", "kWh", Linear, false, 0, 1, 200, 5_000, &household},
		{"temperature", "°C", "", "", Plain, true, 0, 100, 4_000, 16_000, &air},
	}},
	{"utility", []template{
		{"water_volume", "m3", "l", "m3", Register, false, 100_000, 1, 10, 200, &household},
		{"heat_power", "kW", "W", "kWh", Linear, false, 0, 1, 500, 8_000, &heating},
	}},
}

// meterModulus is where a register starts again at zero, in units, when the
// configuration declares nothing.
const meterModulus = 100_000

// build makes the entities and series.
func (f *Fleet) build(locations []*time.Location) {
	c := &f.config
	f.series = make([]*Series, 0, c.Series)
	for n := 0; len(f.series) < c.Series; n++ {
		model := &models[n%len(models)]
		zone := n % len(c.Zones)
		e := &Entity{
			ID: fmt.Sprintf("%s-%06d", model.name, n+1), Zone: c.Zones[zone], location: locations[zone],
		}
		f.entities = append(f.entities, e)
		for i := range model.templates[:min(len(model.templates), c.Series-len(f.series))] {
			f.series = append(f.series, f.newSeries(e, &model.templates[i]))
		}
	}
}

// newSeries returns the next series, of an entity.
func (f *Fleet) newSeries(e *Entity, t *template) *Series {
	d := newDice(f.config.Seed, 2*uint64(len(f.series)))
	s := &Series{
		Entity: e, Metric: t.metric, Unit: t.unit, SentUnit: t.unit, EnergyUnit: t.energy, Kind: t.kind,
		limits: t.limits, scale: 1000, grain: t.grain, maxRate: t.maxRate, quality: reading.Actual,
		load: load{shape: t.shape, size: d.between(t.least, t.most), offset: offsetOf(e.Zone)},
	}
	if d.below(4) == 0 && t.subunit != "" {
		s.SentUnit, s.scale = t.subunit, 1
	}
	if d.below(3) == 0 {
		s.quality = reading.Unspecified // a producer that does not say
	}
	if t.kind == Interval || t.kind == Mean {
		s.Length = f.config.Cadence
	} else if d.below(2) == 0 {
		s.phase = d.below(f.cadence/2000+1) * 1000
		s.jitter = f.cadence / 4
	}
	if t.kind == Register {
		f.setRegister(s, &d)
	}
	return s
}

// setRegister gives a register its modulus and its first index.
func (f *Fleet) setRegister(s *Series, d *dice) {
	r := &f.config.Registers
	if r.MaxRate > 0 {
		s.maxRate = r.MaxRate
	}
	s.modulus = meterModulus * 1000
	if r.Rollover > 0 {
		s.modulus = r.Rollover * 1000
	}
	s.first = d.between(s.modulus/10, s.modulus/2)
	if d.happens(oddOf(f.config.Shares.Rollovers)) {
		expected := s.load.mean() * int64(f.config.Days) * 24
		s.first = max(0, s.modulus-1-expected*d.between(10, 70)/100)
	}
}
