package gold_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// TestAPoolIsTheStatisticsOfAllReadings pools series and compares with what a
// loop over all their readings gives.
func TestAPoolIsTheStatisticsOfAllReadings(t *testing.T) {
	t.Parallel()
	m := &catalog.Metric{Kind: catalog.Interval, Window: time.Hour, EnergyUnit: "kWh", PowerUnit: "kW"}
	rapid.Check(t, func(t *rapid.T) {
		pool := gold.NewPool(0, int64(time.Hour))
		var values []float64
		members, contributing := uint32(0), uint32(0)
		for series := range rapid.IntRange(1, 6).Draw(t, "series") {
			readings := rapid.SliceOfN(rapid.Float64Range(-100, 100), 0, 8).Draw(t, "values")
			members++
			if len(readings) > 0 {
				contributing++
			}
			values = append(values, readings...)
			split := rapid.IntRange(0, len(readings)).Draw(t, "split")
			for _, part := range [][]float64{readings[:split], readings[split:]} {
				var versions []gold.Version
				for i, v := range part {
					versions = append(versions, gold.Version{Time: int64(i), Value: v, Quality: reading.Actual})
				}
				pool.Add(m, int64(series), &gold.Aggregate{
					Stats: gold.Fold(m, versions, int64(time.Hour)), Completeness: math.NaN(), Interpolated: math.NaN(),
				}, 0)
			}
		}
		if pool.Members != members || pool.Contributing != contributing || pool.Stats.Count != uint64(len(values)) {
			t.Fatalf("%d of %d contribute %d readings, want %d of %d with %d", pool.Contributing, pool.Members,
				pool.Stats.Count, contributing, members, len(values))
		}
		if len(values) == 0 {
			return
		}
		sum, squares := 0.0, 0.0
		for _, v := range values {
			sum += v
		}
		for _, v := range values {
			squares += (v - sum/float64(len(values))) * (v - sum/float64(len(values)))
		}
		near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-8*(1+math.Abs(b)) }
		s := &pool.Stats
		if s.Min != slices.Min(values) || s.Max != slices.Max(values) || !near(s.Sum, sum) || !near(s.Energy, sum) ||
			!near(s.SquaredDeviations, squares) {
			t.Fatalf("%+v of %v, want sum %g, squared deviations %g", s, values, sum, squares)
		}
	})
}

// TestAPoolWeighsAndTellsTheWorst pools a complete final window, a half empty
// restated one and an open one.
func TestAPoolWeighsAndTellsTheWorst(t *testing.T) {
	t.Parallel()
	const hour = int64(time.Hour)
	m := &catalog.Metric{Lateness: time.Hour}
	window := func(completeness float64, settled int64) *gold.Aggregate {
		return &gold.Aggregate{
			Start: 0, End: hour, Expected: 4, Completeness: completeness, Interpolated: math.NaN(),
			Standing: gold.Standing{FirstReceived: 1, Settled: settled},
		}
	}
	pool := gold.NewPool(0, hour)
	pool.Add(m, 1, window(1, hour), 10*hour)
	if pool.Finality != gold.Final || pool.Completeness != 1 {
		t.Errorf("one: %s, %g", pool.Finality, pool.Completeness)
	}
	pool.Add(m, 2, window(0.5, 5*hour), 10*hour)
	if pool.Finality != gold.Restated || pool.Completeness != 0.75 || pool.Expected != 8 {
		t.Errorf("two: %s, %g of %d", pool.Finality, pool.Completeness, pool.Expected)
	}
	unknown := window(math.NaN(), hour)
	unknown.Standing.FirstReceived = 20 * hour
	pool.Add(m, 3, unknown, 10*hour)
	if pool.Finality != gold.Provisional || pool.Completeness != 0.75 || pool.ClosesAt != 21*hour {
		t.Errorf("three: %s, %g, closes at %d", pool.Finality, pool.Completeness, pool.ClosesAt)
	}
}
