package gold_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// metrics has one metric of every kind and integration.
var metrics = []*catalog.Metric{
	{Name: "register", Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW", MaxRate: 5, DipTol: 0.2, Rollover: 100, MaxGap: time.Hour},
	{Name: "reset", Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW", ResetToZero: true},
	{Name: "interval", Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW"},
	{Name: "linear", Kind: catalog.Gauge, Integrate: catalog.Linear, EnergyUnit: "kWh", PowerUnit: "kW", MaxGap: time.Hour},
	{Name: "step", Kind: catalog.Gauge, Integrate: catalog.Step, EnergyUnit: "kWh", PowerUnit: "kW"},
	{Name: "mean", Kind: catalog.Gauge, Integrate: catalog.Mean, EnergyUnit: "kWh", PowerUnit: "kW"},
	{Name: "voltage", Kind: catalog.Gauge},
}

// winners draws winners in time order, from start on.
func winners(start int64) *rapid.Generator[[]gold.Version] {
	one := rapid.Custom(func(t *rapid.T) gold.Version {
		return gold.Version{
			Time:    rapid.Int64Range(1, int64(2*time.Hour)).Draw(t, "distance"),
			Value:   rapid.Float64Range(-100, 100).Draw(t, "value"),
			Length:  time.Minute,
			Quality: reading.Quality(rapid.IntRange(0, int(reading.Corrected)).Draw(t, "quality")),
			Flags:   reading.Rules(rapid.Uint64Range(0, 8).Draw(t, "flags")),
		}
	})
	return rapid.Map(rapid.SliceOfN(one, 0, 12), func(vs []gold.Version) []gold.Version {
		at := start
		for i := range vs {
			at += vs[i].Time
			vs[i].Time = at
		}
		return vs
	})
}

func end(vs []gold.Version, otherwise int64) int64 {
	if len(vs) == 0 {
		return otherwise
	}
	return vs[len(vs)-1].Time
}

// fold has no end that spans reach beyond.
func fold(m *catalog.Metric, vs []gold.Version) gold.Partial { return gold.Fold(m, vs, math.MaxInt64) }

// TestCombineLaws proves invariant 7.
func TestCombineLaws(t *testing.T) {
	t.Parallel()
	for _, m := range metrics {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				va := winners(0).Draw(t, "a")
				vb := winners(end(va, 0)).Draw(t, "b")
				vc := winners(end(vb, end(va, 0))).Draw(t, "c")
				a, b, c := fold(m, va), fold(m, vb), fold(m, vc)
				if gold.Combine(m, a, gold.Partial{}) != a || gold.Combine(m, gold.Partial{}, a) != a {
					t.Fatal("the empty partial is not an identity")
				}
				left := gold.Combine(m, gold.Combine(m, a, b), c)
				right := gold.Combine(m, a, gold.Combine(m, b, c))
				if diff := cmp.Diff(left, right, tolerance(m, va, vb, vc)); diff != "" {
					t.Fatalf("not associative:\n%s", diff)
				}
			})
		})
	}
}

// tolerance lets sums differ by 1e-12 of the sum of what they add up, and
// nothing else differ at all.
func tolerance(m *catalog.Metric, parts ...[]gold.Version) cmp.Option {
	scale := 0.0
	var prev *gold.Version
	for _, part := range parts {
		for i := range part {
			x := math.Abs(part[i].Value) * 3
			if prev != nil {
				x += math.Abs(prev.Value) * 2 * (1 + time.Duration(part[i].Time-prev.Time).Hours())
			}
			prev = &part[i]
			scale += x + m.Rollover
		}
	}
	options := cmp.Options{}
	for field, bound := range map[string]float64{
		"Sum": scale, "Energy": scale, "Advance": scale, "EstimatedEnergy": scale, "CorrectedEnergy": scale,
		"SquaredDeviations": scale * scale,
	} {
		options = append(options, cmp.FilterPath(
			func(p cmp.Path) bool { return p.Last().String() == "."+field },
			cmp.Comparer(func(x, y float64) bool { return math.Abs(x-y) <= 1e-12*bound }),
		))
	}
	return options
}

func TestFoldEqualsANaiveComputation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		vs := winners(0).Draw(t, "winners")
		if len(vs) == 0 {
			return
		}
		p := fold(metrics[5], vs)
		sum, low, high, energy := 0.0, math.Inf(1), math.Inf(-1), 0.0
		for _, v := range vs {
			sum, low, high = sum+v.Value, math.Min(low, v.Value), math.Max(high, v.Value)
			energy += v.Value * v.Length.Hours()
		}
		mean, squares := sum/float64(len(vs)), 0.0
		for _, v := range vs {
			squares += (v.Value - mean) * (v.Value - mean)
		}
		near := func(what string, got, want float64) {
			if math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
				t.Fatalf("%s is %g, want %g", what, got, want)
			}
		}
		near("sum", p.Sum, sum)
		near("energy", p.Energy, energy)
		near("squared deviations", p.SquaredDeviations, squares)
		if p.Count != uint64(len(vs)) || p.Min != low || p.Max != high ||
			p.First != vs[0].Value || p.LastAt != vs[len(vs)-1].Time {
			t.Fatalf("%+v does not describe %+v", p, vs)
		}
	})
}

func TestRegisterSteps(t *testing.T) {
	t.Parallel()
	plain := &catalog.Metric{Kind: catalog.Register}
	bounded := &catalog.Metric{Kind: catalog.Register, MaxRate: 100, DipTol: 0.2, Rollover: 1e6}
	toZero := &catalog.Metric{Kind: catalog.Register, ResetToZero: true}
	tests := []struct {
		name      string
		metric    *catalog.Metric
		values    []float64
		advance   float64
		resets    uint64
		exchanges uint64
	}{
		{"a fall to a value other than zero is an exchange", plain, []float64{10, 20, 15, 40}, 35, 0, 1},
		{"a declared reset to zero counts from zero", toZero, []float64{10, 20, 5, 7}, 17, 1, 0},
		{"a dip within tolerance cancels out", bounded, []float64{10, 9.9, 10.1}, 0.1, 0, 0},
		{"a rollover counts on", bounded, []float64{999999.9, 5}, 5.1, 1, 0},
		{"an impossible jump and back adds nothing", bounded, []float64{10, 500010, 11}, 0, 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var vs []gold.Version
			for i, v := range tt.values {
				vs = append(vs, gold.Version{Time: int64(i) * int64(time.Hour), Value: v})
			}
			p := fold(tt.metric, vs)
			if math.Abs(p.Advance-tt.advance) > 1e-6 || p.Resets != tt.resets || p.Exchanges != tt.exchanges {
				t.Errorf("advance %g, %d resets, %d exchanges; want %g, %d, %d",
					p.Advance, p.Resets, p.Exchanges, tt.advance, tt.resets, tt.exchanges)
			}
		})
	}
}
