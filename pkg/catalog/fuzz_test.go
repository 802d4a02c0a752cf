package catalog_test

import (
	"testing"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// FuzzParse reads documents that people write: a catalogue that is accepted
// answers for every name, and is accepted again with the same hash.
func FuzzParse(f *testing.F) {
	c, err := catalog.Default()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Document(), "active_energy", "kWh")
	f.Add("units: {W: {dimension: power}, kW: {dimension: power, num: 1000}}\n"+
		"metrics: {p: {kind: gauge, integrate: step, unit: kW, max_gap: 1h}}", "p", "W")
	f.Add("metrics: {e: {kind: register, unit: kWh, max_rate: .nan, rollover: 1e6, window: 7m}}", "e", "")
	f.Add("future_skew: -1h\ntime_floor: 1e9\nunits: {x: &a {num: 0, den: 1.5, dimension: d}, y: *a}", "", "\xff")
	f.Fuzz(func(t *testing.T, document, metric, unit string) {
		c, err := catalog.Parse(2, []byte(document))
		if err != nil {
			return
		}
		again, err := catalog.Parse(2, []byte(c.Document()))
		if err != nil || again.Hash() != c.Hash() {
			t.Errorf("the document is accepted, then refused: %v", err)
		}
		r, err := c.Resolve(metric, unit)
		if err == nil && c.Metric(reading.Series{Metric: metric, Unit: r.Unit}) == nil {
			t.Errorf("%q in %q is taken in as %q, of which the catalogue knows nothing", metric, unit, r.Unit)
		}
	})
}
