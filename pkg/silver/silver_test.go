package silver_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
)

const document = `
units:
  kWh: {dimension: energy}
  Wh: {dimension: energy, den: 1000}
  kW: {dimension: power, integral: kWh}
  W: {dimension: power, den: 1000}
  V: {dimension: voltage}
metrics:
  voltage: {kind: gauge, unit: V, min: 0, max: 500}
  half_hourly: {kind: interval, unit: kWh, label: end, length: 30m}
  power: {kind: gauge, unit: kW, min: -10, max: 10}
  meter: {kind: register, unit: kWh, min: 0, max: 1000}
`

var received = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// released is who gives the waivers of these tests.
var released = reading.Decision{Person: "ann", At: 7, Reason: "read off by hand"}

func judge(t *testing.T, r reading.Reading, waived reading.Rules) silver.Judgement {
	t.Helper()
	c, err := catalog.Parse(3, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return silver.NewJudge(c).Bench(r.EntityID, r.Metric, r.Unit).
		Judge(r, reading.Stamp{Received: received.UnixNano(), Sequence: 1},
			&reading.Waiver{Rules: waived, Decision: released})
}

// TestRules proves invariant 6.
func TestRules(t *testing.T) {
	t.Parallel()
	good := reading.Reading{EntityID: "m1", Metric: "voltage", Unit: "V", Time: received.UnixNano(), Value: 230}
	with := func(change func(*reading.Reading)) reading.Reading {
		r := good
		change(&r)
		return r
	}
	exchange := func(metric, unit string, final, start float64) reading.Reading {
		return with(func(r *reading.Reading) {
			r.Metric, r.Unit, r.Value, r.Exchange, r.ExchangeStart = metric, unit, final, true, start
		})
	}
	tests := []struct {
		name    string
		reading reading.Reading
		rules   string // that refused
		flags   string
		detail  string
	}{
		{"a good reading passes", good, "", "", ""},
		{"an empty unit means the canonical one", with(func(r *reading.Reading) { r.Unit = "" }), "", "", ""},
		{"an entity is required", with(func(r *reading.Reading) { r.EntityID = "" }), "missing_entity", "", "entity_id is missing"},
		{"a metric is required", with(func(r *reading.Reading) { r.Metric = "" }), "bad_identifier", "", "metric is missing"},
		{"control characters are refused", with(func(r *reading.Reading) { r.EntityID = "a\x00b" }), "bad_identifier", "", "control characters"},
		{"white space at an end is refused", with(func(r *reading.Reading) { r.EntityID = "m1 " }), "bad_identifier", "", "white space"},
		{"white space inside is fine", with(func(r *reading.Reading) { r.EntityID = "m 1" }), "", "", ""},
		{"a long name is refused", with(func(r *reading.Reading) { r.EntityID = strings.Repeat("x", 257) }), "bad_identifier", "", "257 bytes"},
		{"NaN is refused", with(func(r *reading.Reading) { r.Value = math.NaN() }), "non_finite_value", "", "NaN"},
		{"infinity is refused by every rule that it breaks", with(func(r *reading.Reading) { r.Value = math.Inf(1) }),
			"non_finite_value,out_of_range", "", "Inf"},
		{"an unknown unit of a declared metric is refused", with(func(r *reading.Reading) { r.Unit = "volts" }),
			"unknown_unit", "", `"volts"`},
		{"a unit of another dimension is refused", with(func(r *reading.Reading) { r.Unit = "kW" }), "unit_mismatch", "", "takes V, not kW"},
		{"an unknown unit of an undeclared metric is flagged", with(func(r *reading.Reading) { r.Metric, r.Unit = "wind", "knots" }),
			"", "unknown_unit", ""},
		{"a value at its maximum passes", with(func(r *reading.Reading) { r.Value = 500 }), "", "", ""},
		{"a value above its maximum is refused", with(func(r *reading.Reading) { r.Value = 500.1 }), "out_of_range", "", "maximum 500 of voltage"},
		{"a withdrawal needs no value in range", with(func(r *reading.Reading) { r.Quality, r.Value = reading.Withdrawn, -1 }), "", "", ""},
		{"the range is checked in the canonical unit", with(func(r *reading.Reading) { r.Metric, r.Unit, r.Value = "power", "W", 9999 }), "", "", ""},
		{"five minutes ahead is within the skew", with(func(r *reading.Reading) { r.Time += int64(5 * time.Minute) }), "", "", ""},
		{"more than five minutes ahead is refused", with(func(r *reading.Reading) { r.Time += int64(5*time.Minute) + 1 }),
			"time_in_future", "", "clock and zone"},
		{"before the year 2000 is refused", with(func(r *reading.Reading) { r.Time = 0 }), "time_too_old", "", "1970-01-01"},
		{"years late is fine", with(func(r *reading.Reading) { r.Time = received.AddDate(-20, 0, 0).UnixNano() }), "", "", ""},
		{"an exchange of a register passes", exchange("meter", "Wh", 5, 0), "", "", ""},
		{"an exchange of what is no register is refused", exchange("voltage", "V", 5, 0), "exchange_mismatch", "", "for registers"},
		{"an exchange of an undeclared metric is refused", exchange("wind", "", 5, 0), "exchange_mismatch", "", "wind"},
		{"an exchange start that is no number is refused", exchange("meter", "kWh", 5, math.NaN()), "non_finite_value", "", "exchange_start"},
		{"an exchange start out of range is refused", exchange("meter", "kWh", 5, 1001), "out_of_range", "", "exchange_start 1001 kWh"},
		{"all that fires is listed", with(func(r *reading.Reading) { r.EntityID, r.Value, r.Time = "", -1, 0 }),
			"missing_entity,out_of_range,time_too_old", "", "minimum 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := judge(t, tt.reading, 0)
			if j.Refused.String() != tt.rules || j.Flags.String() != tt.flags {
				t.Errorf("refused by %q, flagged by %q; want %q, %q", j.Refused, j.Flags, tt.rules, tt.flags)
			}
			if j.Accepted() != (tt.rules == "") || (j.Detail == "") != j.Accepted() {
				t.Errorf("accepted %t with detail %q", j.Accepted(), j.Detail)
			}
			if !strings.Contains(j.Detail, tt.detail) {
				t.Errorf("detail %q does not say %q", j.Detail, tt.detail)
			}
		})
	}
}

func TestNormalization(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 0, 30, 0, 0, time.UTC)
	tests := []struct {
		name          string
		metric, unit  string
		value, want   float64
		length        time.Duration
		start         time.Time
		wantLength    time.Duration
		canonicalUnit string
	}{
		{"watts become kilowatts by one division", "power", "W", 4216, 4.216, 0, at, 0, "kW"},
		{"an undeclared metric takes its dimension's base unit", "heat_loss", "W", 1500, 1.5, 0, at, 0, "kW"},
		{"an unknown unit stays", "wind", "knots", 7, 7, 0, at, 0, "knots"},
		{"an end label becomes a start", "half_hourly", "Wh", 500, 0.5, 0, at.Add(-30 * time.Minute), 30 * time.Minute, "kWh"},
		{"the reading's own length comes first", "half_hourly", "kWh", 1, 1, 15 * time.Minute, at.Add(-15 * time.Minute), 15 * time.Minute, "kWh"},
		{"a reading at an instant covers nothing", "voltage", "V", 1, 1, time.Minute, at, 0, "V"},
		{"minus zero is zero", "power", "kW", math.Copysign(0, -1), 0, 0, at, 0, "kW"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := judge(t, reading.Reading{
				EntityID: "m1", Metric: tt.metric, Unit: tt.unit, Value: tt.value, Length: tt.length, Time: at.UnixNano(),
			}, 0)
			r := j.Reading
			if math.Float64bits(r.Value) != math.Float64bits(tt.want) || r.Unit != tt.canonicalUnit ||
				r.Time != tt.start.UnixNano() || r.Length != tt.wantLength {
				t.Errorf("got %g %s from %s for %s", r.Value, r.Unit, time.Unix(0, r.Time).UTC(), r.Length)
			}
		})
	}
}

func TestWaivers(t *testing.T) {
	t.Parallel()
	high := reading.Reading{EntityID: "m1", Metric: "voltage", Unit: "V", Time: received.UnixNano(), Value: 501}
	j := judge(t, high, reading.Rules(0).With(reading.OutOfRange))
	if !j.Accepted() || !j.Waived || !j.Flags.Has(reading.OutOfRange) {
		t.Errorf("a waived range is not waived: %+v", j)
	}
	if j.Released != released.At {
		t.Errorf("released at %d, want %d", j.Released, released.At)
	}
	fine := high
	fine.Value = 230
	if j = judge(t, fine, reading.Rules(0).With(reading.OutOfRange)); !j.Accepted() || j.Waived || j.Released != 0 {
		t.Errorf("a waiver that nothing needs counts: %+v", j)
	}
	all := ^reading.Rules(0)
	w := silver.Waivable(all)
	if !w.Has(reading.OutOfRange) || w.Has(reading.NonFiniteValue) || w.Has(reading.UnitMismatch) {
		t.Errorf("waivable are %s", w)
	}
	nan := high
	nan.Value = math.NaN()
	j = judge(t, nan, reading.Rules(0).With(reading.NonFiniteValue).With(reading.OutOfRange))
	if j.Accepted() {
		t.Error("NaN can be waived")
	}
}

// TestHopelessIsRefused holds what a producer is told before it sends against the
// judge, with everything waived.
func TestHopelessIsRefused(t *testing.T) {
	t.Parallel()
	names := rapid.SampledFrom([]string{"", "m", " m", "voltage", "\x00", "\xff", strings.Repeat("x", 257), "é", "kW"})
	values := rapid.SampledFrom([]float64{0, -5, 1e308, math.NaN(), math.Inf(1), math.Inf(-1)})
	rapid.Check(t, func(rt *rapid.T) {
		r := reading.Reading{
			EntityID: names.Draw(rt, "entity"), Metric: names.Draw(rt, "metric"), Unit: names.Draw(rt, "unit"),
			Value: values.Draw(rt, "value"), Time: received.UnixNano(),
			Exchange: true, ExchangeStart: values.Draw(rt, "start"),
		}
		hopeless := silver.Hopeless(&r)
		j := judge(t, r, ^reading.Rules(0))
		if hopeless != nil && j.Accepted() {
			rt.Errorf("%+v is accepted and said to be hopeless: %v", r, hopeless)
		}
		const always = 1<<reading.MissingEntity | 1<<reading.BadIdentifier
		if hopeless == nil && j.Refused&always != 0 {
			rt.Errorf("%+v is refused by %v and not said to be hopeless", r, j.Refused)
		}
		for text := range strings.Lines(errorText(hopeless)) {
			if !strings.Contains(j.Detail, strings.TrimSpace(text)) {
				rt.Errorf("the producer is told %q, the operator %q", text, j.Detail)
			}
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBothIndicesOfAnExchangeAreConverted(t *testing.T) {
	t.Parallel()
	r := judge(t, reading.Reading{
		EntityID: "m1", Metric: "meter", Unit: "Wh", Time: received.UnixNano(), Value: 1500, Exchange: true, ExchangeStart: 250,
	}, 0).Reading
	if r.Value != 1.5 || r.ExchangeStart != 0.25 || !r.Exchange || r.Unit != "kWh" {
		t.Errorf("got %+v, want 1.5 kWh and from 0.25 kWh on", r)
	}
}
