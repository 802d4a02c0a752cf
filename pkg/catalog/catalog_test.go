package catalog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

func TestDefaultCatalogueIsValid(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	m := c.Metric(reading.Series{Metric: "active_power_mean"})
	if m.Kind != catalog.Gauge || m.Integrate != catalog.Mean || m.Unit != "kW" || m.EnergyUnit != "kWh" ||
		m.PowerUnit != "kW" || m.Window != 15*time.Minute {
		t.Errorf("active_power_mean is %+v", m)
	}
	if m := c.Metric(reading.Series{Metric: "active_energy_import"}); m.Kind != catalog.Register || m.PowerUnit != "kW" {
		t.Errorf("active_energy_import is %+v", m)
	}
}

// TestDefaultCatalogueKeepsItsEpoch pins the built-in document to its number:
// judgements carry the number, and one number must mean one document. Who
// changes the document gives it the next number and the new hash.
func TestDefaultCatalogueKeepsItsEpoch(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	const epoch, hash = 1, "361103e5836ee592d2dcb52efff9397623dc5089e0ea8b762cccf487aaad7a14"
	if c.Epoch() != epoch || c.Hash() != hash {
		t.Errorf("epoch %d has hash %s, it was released as %d with %s", c.Epoch(), c.Hash(), epoch, hash)
	}
}

func TestConversions(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		metric, from string
		value, want  float64
	}{
		{"active_energy", "kWh", 0.1, 0.1},
		{"active_energy", "Wh", 37, 0.037},
		{"active_energy", "MWh", 1.5, 1500},
		{"active_energy", "MJ", 3.6, 1},
		{"active_energy", "GJ", 1, 1000.0 / 3.6},
		{"active_energy", "J", 3600000, 1},
		{"water_flow", "l/min", 1, 0.06},
		{"pressure", "bar", 1, 100000},
		{"humidity", "%", 45, 0.45},
	}
	for _, tt := range tests {
		r, err := c.Resolve(tt.metric, tt.from)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := r.Conversion.Apply(tt.value); got != tt.want {
			t.Errorf("%g %s is %g %s, want %g", tt.value, tt.from, got, r.Unit, tt.want)
		}
	}
	if _, err := c.Resolve("active_energy", "kW"); !errors.Is(err, catalog.ErrDimension) {
		t.Errorf("power for energy gives %v", err)
	}
}

func TestParseReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := catalog.Parse(1, []byte(`
units:
  kWh: {dimension: energy}
  Wh: {dimension: energy, den: 0.5}
  W: {dimension: power, den: 1000, integral: Ws}
metrics:
  a: {kind: counter, unit: kWh}
  b: {kind: register, unit: furlong, window: 7m}
  c: {kind: gauge, unit: kWh, min: 2, max: 1, max_rate: 5}
  d: {kind: interval, unit: kWh, integrate: linear, length: -1m}
  e: {kind: register, unit: kWh, spike: 5, stuck: -1h}
  f: {kind: gauge, unit: W, spike: 0.5, stuck: 9999h}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"unit Wh: num and den", `integral "Ws"`, "dimension power has no base unit",
		`metric a: kind "counter" must be one of [gauge interval register]`,
		`metric b: unit "furlong"`, "metric b: window 7m0s must be", "metric c: min 2 is above max 1",
		"metric c: max_rate", "metric d: integrate is for gauges", "metric d: length",
		"metric e: spike is not for registers", "metric e: stuck -1h0m0s", "metric f: spike 0.5", "metric f: stuck 9999h0m0s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	for document, want := range map[string]string{
		"metrics: {a: {kind: gauge, windw: 5m}}":             "line 1: field windw not found in a metric",
		"metrics: {a: {expectations: {b: {expects: true}}}}": "field expects not found in an expectation",
		"units: {V: {dimensions: voltage}}":                  "field dimensions not found in a unit",
		"metrix: {}":                                         "field metrix not found in a catalogue",
	} {
		if _, err := catalog.Parse(1, []byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %s it says %v, want %q", document, err, want)
		}
	}
}

// TestParseRefusesWhatIsNoNumber names each field that YAML lets be infinite or
// not a number: comparisons with it would all be false, so that a limit that is
// declared would hold for nothing.
func TestParseRefusesWhatIsNoNumber(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"min", "max", "max_rate", "rollover", "dip_tolerance", "spike"} {
		for _, value := range []string{".nan", ".inf", "-.inf"} {
			_, err := catalog.Parse(1, fmt.Appendf(nil,
				"units: {kWh: {dimension: energy}}\nmetrics:\n  a:\n    kind: register\n    unit: kWh\n    %s: %s\n", field, value))
			if err == nil || !strings.Contains(err.Error(), "line 6: metric a: "+field) {
				t.Errorf("%s: %s: %v", field, value, err)
			}
		}
	}
	for _, value := range []string{".nan", ".inf"} {
		_, err := catalog.Parse(1, fmt.Appendf(nil, "units: {kWh: {dimension: energy}, Wh: {dimension: energy, den: %s}}", value))
		if err == nil {
			t.Errorf("a unit's den %s passes", value)
		}
	}
}

// TestZeroIsNotAbsent takes a duration of zero at its word.
func TestZeroIsNotAbsent(t *testing.T) {
	t.Parallel()
	parse := func(more string) (*catalog.Catalog, error) {
		return catalog.Parse(1, fmt.Appendf(nil,
			"units: {V: {dimension: voltage}}\nmetrics:\n  a: {kind: gauge, unit: V%s}\n", more))
	}
	for more, want := range map[string]time.Duration{"": time.Hour, ", lateness: 0s": 0, ", lateness: 5m": 5 * time.Minute} {
		c, err := parse(more)
		if err != nil {
			t.Fatal(err)
		}
		m := c.Metric(reading.Series{EntityID: "e", Metric: "a", Unit: "V"})
		if m.Lateness != want || m.Window != 15*time.Minute {
			t.Errorf("%q has lateness %s and window %s, want %s", more, m.Lateness, m.Window, want)
		}
	}
	if _, err := parse(", window: 0s"); err == nil || !strings.Contains(err.Error(), "window 0s must be") {
		t.Errorf("a base window of nothing: %v", err)
	}
}

func TestUnitsThatDoNotFitSayWhatDoes(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		unit string
		is   error
		says string
	}{
		{"kwh", catalog.ErrUnknownUnit, `metric active_energy takes kWh, GJ, GWh, J, MJ, MWh, Wh, kJ, ` +
			`and "kwh" is no known unit: did you mean kWh?`},
		{"mwh", catalog.ErrUnknownUnit, "did you mean MWh?"},
		{"joule", catalog.ErrUnknownUnit, `"joule" is no known unit: send one of those, or declare the unit in the catalogue`},
		{"V", catalog.ErrDimension, "kJ, not V: unit of another dimension"},
	} {
		_, err := c.Resolve("active_energy", bad.unit)
		if !errors.Is(err, bad.is) || !strings.HasSuffix(err.Error(), bad.says) {
			t.Errorf("%s: %v", bad.unit, err)
		}
	}
}
