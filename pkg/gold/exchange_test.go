package gold_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// TestAnExchangeOfTheMeter has a meter that counts 10 kWh an hour and is
// exchanged at 02:30, where the old one stands at 1025 and the new one at 3.
func TestAnExchangeOfTheMeter(t *testing.T) {
	t.Parallel()
	m := &catalog.Metric{Kind: catalog.Register, Window: time.Hour, EnergyUnit: "kWh", PowerUnit: "kW"}
	record := gold.Version{Time: int64(2*time.Hour + 30*time.Minute), Value: 1025, Exchange: true, ExchangeStart: 3}
	before := []gold.Version{at(0, 1000), at(time.Hour, 1010), at(2*time.Hour, 1020)}
	after := []gold.Version{at(3*time.Hour, 8), at(4*time.Hour, 18)}
	type hour struct {
		Advance   float64
		Exchanges uint64
		Last      float64
	}
	for _, tt := range []struct {
		name     string
		readings []gold.Version
		want     []hour
	}{
		{"with a record nothing is lost", append(append(before[:3:3], record), after...),
			[]hour{{10, 0, 1000}, {10, 0, 1010}, {10, 1, 3}, {10, 0, 8}}},
		{"without a record the fall is guessed to be one and adds nothing", append(before[:3:3], after...),
			[]hour{{10, 0, 1000}, {10, 0, 1010}, {0, 0, 1020}, {10, 1, 8}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []hour
			for _, g := range answersOf(t, m, time.Hour, 4*time.Hour, tt.readings...) {
				got = append(got, hour{g.Stats.Advance, g.Stats.Exchanges, g.Stats.Last})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("the final index alone counts as a value", func(t *testing.T) {
		t.Parallel()
		p := fold(m, append(append(before[:3:3], record), after...))
		if p.Count != 6 || p.Sum != 1000+1010+1020+1025+8+18 || p.Min != 8 || p.Max != 1025 ||
			p.Last != 18 || p.Advance != 40 {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("a metric that is no register any more passes over the record", func(t *testing.T) {
		t.Parallel()
		p := fold(&catalog.Metric{Kind: catalog.Gauge}, []gold.Version{record})
		if p.Last != 1025 || p.Exchanges != 0 {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("another start index is another version, which a correction replaces", func(t *testing.T) {
		t.Parallel()
		corrected := record
		corrected.ExchangeStart, corrected.Quality = 2.5, reading.Corrected
		set := gold.Normalize([]gold.Version{corrected, record, record})
		winners := gold.Winners(nil, set)
		if len(set) != 2 || len(winners) != 1 || winners[0].ExchangeStart != 2.5 {
			t.Errorf("of %+v wins %+v", set, winners)
		}
	})
}
