package gold_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// drawRows draws the base rows of a few hours of four UTC days, of a quarter of
// an hour each.
func drawRows(t *rapid.T, m *catalog.Metric, origin int64) (rows []gold.Stored, versions [][]gold.Version) {
	minutes := rapid.SliceOfNDistinct(rapid.Int64Range(0, 4*24*60), 1, 120, rapid.ID).Draw(t, "minutes")
	var readings []gold.Version
	for _, at := range minutes {
		readings = append(readings, gold.Version{
			Time: origin + at*int64(time.Minute), Epoch: 1, Length: time.Minute * time.Duration(1+at%2),
			Value:   rapid.SampledFrom([]float64{0.1, 1.0 / 3, 7e9, 2, 1e-9}).Draw(t, "value"),
			Quality: rapid.SampledFrom([]reading.Quality{reading.Actual, reading.Actual, reading.Withdrawn}).Draw(t, "quality"),
			Stamp:   goldtest.Stamp().Draw(t, "stamp"),
		})
	}
	readings = gold.Normalize(readings)
	for len(readings) > 0 {
		row := gold.Stored{Start: gold.WindowStart(readings[0].Time, m.Window), Width: m.Window}
		n := 1
		for n < len(readings) && readings[n].Time < row.End() {
			n++
		}
		changed := time.Unix(rapid.Int64Range(0, 1000).Draw(t, "changed"), 0).UTC()
		row.Summary = gold.Summarize(m, row.Start, row.Width, gold.Fold(m, gold.RowWinners(m, readings[:n]), row.End()))
		row.Revision, row.Changed = int64(n), changed
		row.Standing = gold.Stand(history, readings[:n])
		rows, versions = append(rows, row), append(versions, readings[:n])
		readings = readings[n:]
	}
	return rows, versions
}

// TestAnswersHaveEqualBitsFromParentsAndRows replaces the rows of some days and hours by
// their folds, wherever a window holds these whole (invariant 13).
func TestAnswersHaveEqualBitsFromParentsAndRows(t *testing.T) {
	t.Parallel()
	metrics := []catalog.Metric{
		{Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW"},
		{Kind: catalog.Gauge, Integrate: catalog.Mean, EnergyUnit: "kWh", PowerUnit: "kW"},
		{Kind: catalog.Interval, EnergyUnit: "kWh"},
		{Kind: catalog.Gauge},
		{Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW"},
		{Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW", MaxGap: 40 * time.Minute, DipTol: 3, MaxRate: 1e10},
		{Kind: catalog.Register, EnergyUnit: "m3"},
		{Kind: catalog.Gauge, Integrate: catalog.Linear, EnergyUnit: "kWh", PowerUnit: "kW", MaxGap: time.Hour},
		{Kind: catalog.Gauge, Integrate: catalog.Step, EnergyUnit: "kWh", PowerUnit: "kW", Stuck: 40 * time.Minute},
		{Kind: catalog.Gauge, Cadence: 7 * time.Minute},
		{Kind: catalog.Gauge, Cadence: time.Hour},
	}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(metrics).Draw(t, "metric")
		m.Window = 15 * time.Minute
		origin := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC).UnixNano()
		rows, versions := drawRows(t, &m, origin)
		w := anyWindows(t)
		until := origin + int64(6*24*time.Hour)
		inside := func(start int64, span time.Duration) bool {
			_, end := w.Bounds(start)
			from, _ := w.Bounds(start)
			return from <= start && start+int64(span) <= end
		}
		answer := func(stored func(start int64, span time.Duration) bool) (got []string) {
			a := gold.NewAggregator(&m, w, until, func(g gold.Aggregate) error {
				got = append(got, bitsOf(&g))
				return nil
			})
			a.SetHistory(history)
			a.Begin(rows[0].Start)
			for i := 0; i < len(rows); {
				parts, n := parts(&m, rows[i:], func(start int64, span time.Duration) bool {
					return inside(start, span) && stored(start, span)
				})
				for j := range parts {
					var err error
					if inside(parts[j].Start, parts[j].Width) {
						err = a.Add(&parts[j])
					} else {
						err = a.AddCut(&parts[j], versions[i])
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				i += n
			}
			if err := a.Finish(); err != nil {
				t.Fatal(err)
			}
			return got
		}
		want := answer(func(int64, time.Duration) bool { return false })
		mask := rapid.Uint64().Draw(t, "stored")
		got := answer(func(start int64, span time.Duration) bool {
			bit := (start - origin) / int64(time.Hour) % 61
			if span == gold.DaySpan {
				bit = 60 + (start-origin)/int64(gold.DaySpan)
			}
			return mask>>bit&1 == 1
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("windows from rows and from parents differ (-rows +parents):\n%s", diff)
		}
	})
}

// parts returns the day, the hour or the row that rows begin with, and how many
// of them it stands for.
func parts(m *catalog.Metric, rows []gold.Stored, use func(int64, time.Duration) bool) ([]gold.Stored, int) {
	for _, span := range []time.Duration{gold.DaySpan, gold.HourSpan} {
		start := gold.WindowStart(rows[0].Start, span)
		n := 1
		for n < len(rows) && rows[n].Start < start+int64(span) {
			n++
		}
		if !use(start, span) {
			continue
		}
		hours, day := gold.Parents(m, rows[:n])
		if span == gold.DaySpan {
			return []gold.Stored{day}, n
		}
		return hours, n
	}
	return rows[:1], 1
}

func bitsOf(g *gold.Aggregate) string {
	s := &g.Stats
	return fmt.Sprintf("%x %x %x %x %x %x %+v", math.Float64bits(s.Sum), math.Float64bits(s.SquaredDeviations),
		math.Float64bits(s.Energy), math.Float64bits(s.Advance), math.Float64bits(g.Peak),
		math.Float64bits(g.Completeness), *g)
}

func TestFoldKeyNamesWhatAFoldFollows(t *testing.T) {
	t.Parallel()
	base := catalog.Metric{Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW"}
	other := map[string]func(*catalog.Metric){
		"kind":      func(m *catalog.Metric) { m.Kind = catalog.Gauge },
		"integrate": func(m *catalog.Metric) { m.Integrate = catalog.Step },
		"reset":     func(m *catalog.Metric) { m.ResetToZero = true },
		"max_rate":  func(m *catalog.Metric) { m.MaxRate = 1 },
		"rollover":  func(m *catalog.Metric) { m.Rollover = 1 },
		"dip":       func(m *catalog.Metric) { m.DipTol = 1 },
		"max_gap":   func(m *catalog.Metric) { m.MaxGap = 1 },
		"spike":     func(m *catalog.Metric) { m.Spike = 3 },
		"stuck":     func(m *catalog.Metric) { m.Stuck = 1 },
		"window":    func(m *catalog.Metric) { m.Window = time.Hour },
		"energy":    func(m *catalog.Metric) { m.EnergyUnit, m.PowerUnit = "kWhk", "W" },
		"power":     func(m *catalog.Metric) { m.PowerUnit = "" },
		"cadence":   func(m *catalog.Metric) { m.Cadence = time.Minute },
	}
	seen := map[int64]string{gold.FoldKey(&base): "base"}
	for name, change := range other {
		m := base
		change(&m)
		if same, ok := seen[gold.FoldKey(&m)]; ok {
			t.Errorf("%s has the key of %s", name, same)
		}
		seen[gold.FoldKey(&m)] = name
	}
	spans := catalog.Metric{Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW"}
	key := gold.FoldKey(&spans)
	spans.Description, spans.Cadence, spans.Lateness = "another", time.Minute, time.Hour
	if gold.FoldKey(&spans) != key {
		t.Error("what no fold follows changes the key")
	}
}
