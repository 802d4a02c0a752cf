package gold_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// brief is what the known answers say about a window.
type brief struct {
	Amount, Interpolated, Peak float64
	Covered                    time.Duration
	Open                       bool
}

func briefly(m *catalog.Metric, g *gold.Aggregate) brief {
	return brief{amount(m, g), g.Interpolated, g.Peak, g.Stats.Covered, g.EdgeOpen}
}

// answersOf folds rows, one of each reading, into the windows up to the one
// that holds the last instant before until.
func answersOf(
	t *testing.T, m *catalog.Metric, width time.Duration, until time.Duration, readings ...gold.Version,
) []gold.Aggregate {
	t.Helper()
	w, err := gold.FixedWindows(width)
	if err != nil {
		t.Fatal(err)
	}
	var got []gold.Aggregate
	a := gold.NewAggregator(m, w, int64(until), func(g gold.Aggregate) error {
		got = append(got, g)
		return nil
	})
	a.Begin(readings[0].Time)
	for i := range readings {
		var stats gold.Partial
		if readings[i].Quality != reading.Withdrawn {
			stats = gold.Fold(m, readings[i:i+1], math.MaxInt64)
		}
		row := gold.Stored{Start: gold.WindowStart(readings[i].Time, m.Window), Width: m.Window}
		row.Summary = gold.Summarize(m, row.Start, m.Window, stats)
		row.Revision = 1
		if err := a.Add(&row); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	return got
}

func at(d time.Duration, value float64) gold.Version {
	return gold.Version{Time: int64(d), Value: value}
}

func TestKnownConsumptions(t *testing.T) {
	t.Parallel()
	const quarter, hour, day = 15 * time.Minute, time.Hour, 24 * time.Hour
	none := math.NaN()
	register := catalog.Metric{
		Kind: catalog.Register, Window: quarter, EnergyUnit: "kWh", PowerUnit: "kW", MaxGap: 2 * hour,
	}
	gauge := func(i catalog.Integrate) catalog.Metric {
		return catalog.Metric{Kind: catalog.Gauge, Integrate: i, Window: quarter, EnergyUnit: "kWh", PowerUnit: "kW", MaxGap: 2 * hour}
	}
	tests := []struct {
		name     string
		metric   catalog.Metric
		width    time.Duration
		readings []gold.Version
		until    time.Duration
		want     []brief
	}{
		{"quarter-hourly register readings in quarter hours", register, quarter,
			[]gold.Version{at(0, 10), at(quarter, 11), at(2*quarter, 13), at(3*quarter, 14)}, hour, []brief{
				{1, none, 4, quarter, false}, {2, none, 8, quarter, false}, {1, none, 4, quarter, false}, {0, none, 0, 0, true},
			}},
		{"a reading off the boundary is shared by time", register, quarter,
			[]gold.Version{at(10*time.Minute, 0), at(20*time.Minute, 10), at(30*time.Minute, 10)}, 30 * time.Minute, []brief{
				{5, none, 20, 5 * time.Minute, false}, {5, none, 20, quarter, false},
			}},
		{"a week offline is interpolated", register, day,
			[]gold.Version{at(12*hour, 0), at(7*day+12*hour, 168)}, 8 * day, []brief{
				{12, 12, 1, 0, false}, {24, 24, 1, 0, false}, {24, 24, 1, 0, false}, {24, 24, 1, 0, false},
				{24, 24, 1, 0, false}, {24, 24, 1, 0, false}, {24, 24, 1, 0, false}, {12, 12, 1, 0, true},
			}},
		{"windows behind the last reading are open", register, hour,
			[]gold.Version{at(0, 0), at(hour, 3)}, 3 * hour, []brief{
				{3, none, 3, hour, false}, {0, none, 0, 0, true}, {0, none, none, 0, true},
			}},
		{"a linear gauge from 0 to 4 kW has a quarter of its hour's energy in the first half", gauge(catalog.Linear), 30 * time.Minute,
			[]gold.Version{at(0, 0), at(hour, 4)}, hour, []brief{
				{0.5, none, 1.5, 30 * time.Minute, false}, {1.5, none, 3.5, 30 * time.Minute, false},
			}},
		{"a step gauge holds its value", gauge(catalog.Step), 30 * time.Minute,
			[]gold.Version{at(0, 2), at(hour, 4)}, hour, []brief{
				{1, none, 2, 30 * time.Minute, false}, {1, none, 2, 30 * time.Minute, false},
			}},
		{"a gauge adds nothing over a long gap", gauge(catalog.Step), 2 * hour,
			[]gold.Version{at(0, 2), at(3*hour, 4)}, 4 * hour, []brief{
				{0, none, 0, 0, false}, {0, none, 0, 0, true},
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []brief
			for _, g := range answersOf(t, &tt.metric, tt.width, tt.until, tt.readings...) {
				got = append(got, briefly(&tt.metric, &g))
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 1e-12)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRowsWithoutReadingsDoNotPart(t *testing.T) {
	t.Parallel()
	m := &catalog.Metric{Kind: catalog.Register, Window: time.Hour, EnergyUnit: "kWh", PowerUnit: "kW"}
	withdrawn := at(2*time.Hour, 1)
	withdrawn.Quality = reading.Withdrawn
	got := answersOf(t, m, time.Hour, 5*time.Hour, at(0, 0), withdrawn, at(4*time.Hour, 8))
	for i, want := range []struct {
		advance  float64
		revision int64
	}{{2, 1}, {2, 0}, {2, 1}, {2, 0}, {0, 1}} {
		if g := &got[i]; g.Stats.Advance != want.advance || g.Revision != want.revision {
			t.Errorf("hour %d: advance %g, revision %d; want %+v", i, g.Stats.Advance, g.Revision, want)
		}
	}
}

func TestIntervalsHaveNoEdges(t *testing.T) {
	t.Parallel()
	m := &catalog.Metric{Kind: catalog.Interval, Window: time.Hour, EnergyUnit: "kWh", PowerUnit: "kW"}
	for i, g := range answersOf(t, m, time.Hour, 3*time.Hour, at(0, 1), at(2*time.Hour, 2)) {
		if want := []float64{1, 0, 2}[i]; g.Stats.Energy != want || g.EdgeOpen || !math.IsNaN(g.Interpolated) {
			t.Errorf("hour %d: %+v, want %g kWh", i, g, want)
		}
	}
}

// TestAPairUpToAnEdgeHasTheBitsOfCombine has the later reading at the very end
// of the window.
func TestAPairUpToAnEdgeHasTheBitsOfCombine(t *testing.T) {
	t.Parallel()
	for _, m := range paired(time.Hour) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				value := rapid.Float64Range(-1e6, 1e6)
				v := at(time.Duration(rapid.Int64Range(0, int64(time.Hour)-1).Draw(rt, "at")), value.Draw(rt, "v"))
				w := at(time.Hour, value.Draw(rt, "w"))
				want := gold.Fold(m, []gold.Version{v, w}, math.MaxInt64)
				got := answersOf(t, m, time.Hour, time.Hour, v, w)[0].Stats
				if got.Advance != want.Advance || got.Energy != want.Energy || got.Covered != want.Covered {
					rt.Fatalf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}
