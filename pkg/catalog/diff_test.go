package catalog_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/catalog"
)

// TestDiffIsOfMeanings compares two documents, and one with the same written
// otherwise.
func TestDiffIsOfMeanings(t *testing.T) {
	t.Parallel()
	parse := func(document string) *catalog.Catalog {
		c, err := catalog.Parse(1, []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := parse(`
units: {kWh: {dimension: energy}, Wh: {dimension: energy, den: 1000}, V: {dimension: voltage}}
metrics:
  energy: {kind: interval, unit: kWh, length: 15m}
  index: {kind: register, unit: kWh, reset: zero}
  voltage: {kind: gauge, unit: V, max: 250, expectations: {low: {expect: value > 0.0, else: warn}}}
`)
	same := parse(`
# the same
metrics:
  voltage:
    kind: gauge
    integrate: none
    unit: V
    max: 250.0
    window: 15m
    expectations: {low: {expect: value > 0.0, else: warn}}
  index: {unit: kWh, kind: register, reset: zero, spike: 0}
  energy: {kind: interval, unit: kWh, length: 900s, label: start}
units: {V: {dimension: voltage, num: 1}, Wh: {dimension: energy, den: 1000}, kWh: {dimension: energy}}
future_skew: 5m
`)
	if diff := catalog.Diff(before, same); len(diff) > 0 {
		t.Errorf("the same differs: %v", diff)
	}
	after := parse(`
future_skew: 1h
units: {kWh: {dimension: energy}, Wh: {dimension: energy, den: 100}, V: {dimension: voltage}}
metrics:
  energy: {kind: interval, unit: kWh, length: 15m, label: end}
  other: {kind: gauge, unit: V}
  voltage: {kind: gauge, unit: V, min: 0, max: 300, expectations: {low: {expect: value > 0.0, else: quarantine}}}
`)
	want := []catalog.Difference{
		{"future_skew", "5m0s", "1h0m0s"},
		{"metrics.energy.label", "", "end"},
		{"metrics.index.kind", "register", ""},
		{"metrics.index.lateness", "1h0m0s", ""},
		{"metrics.index.reset", "zero", ""},
		{"metrics.index.unit", "kWh", ""},
		{"metrics.index.window", "15m0s", ""},
		{"metrics.other.kind", "", "gauge"},
		{"metrics.other.lateness", "", "1h0m0s"},
		{"metrics.other.unit", "", "V"},
		{"metrics.other.window", "", "15m0s"},
		{"metrics.voltage.expectations.low", "value > 0.0, else warn", "value > 0.0, else quarantine"},
		{"metrics.voltage.max", "250", "300"},
		{"metrics.voltage.min", "", "0"},
		{"units.Wh.den", "1000", "100"},
	}
	if diff := cmp.Diff(want, catalog.Diff(before, after)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
