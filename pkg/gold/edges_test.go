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

// paired has the metrics whose readings account for the time between them.
func paired(window time.Duration) []*catalog.Metric {
	energy := func(m catalog.Metric) *catalog.Metric {
		m.Window, m.EnergyUnit, m.PowerUnit = window, "kWh", "kW"
		return &m
	}
	return []*catalog.Metric{
		energy(catalog.Metric{Name: "register", Kind: catalog.Register, ResetToZero: true, MaxGap: 2 * time.Hour}),
		energy(catalog.Metric{Name: "exchange", Kind: catalog.Register}),
		energy(catalog.Metric{Name: "linear", Kind: catalog.Gauge, Integrate: catalog.Linear, MaxGap: 3 * time.Hour}),
		energy(catalog.Metric{Name: "step", Kind: catalog.Gauge, Integrate: catalog.Step}),
		{Name: "level", Kind: catalog.Gauge, Integrate: catalog.Linear, Window: window},
	}
}

// naive is the consumption of a history, computed pair by pair from what the
// design says, without any of the package's rows.
type naive struct {
	metric   *catalog.Metric
	readings []gold.Version
}

// consumption is R(b) − R(a), what of it is interpolated or estimated, and the
// time that counts as observed.
type consumption struct {
	amount, interpolated, estimated float64
	covered                         time.Duration
	spanned, long                   bool // by a pair that adds, by one that is interpolated
}

func (n naive) between(a, b int64) (c consumption) {
	for i := 1; i < len(n.readings); i++ {
		v, w := n.readings[i-1], n.readings[i]
		x, y := max(a, v.Time), min(b, w.Time)
		if x >= y {
			continue
		}
		gap := n.metric.MaxGap > 0 && time.Duration(w.Time-v.Time) > n.metric.MaxGap
		amount := 0.0
		switch {
		case n.metric.Kind == catalog.Register:
			step := w.Value - v.Value
			if step < 0 && n.metric.ResetToZero {
				step = w.Value
			}
			amount = max(step, 0) * time.Duration(y-x).Hours() / time.Duration(w.Time-v.Time).Hours()
		case gap:
			continue
		case n.metric.EnergyUnit == "":
		case n.metric.Integrate == catalog.Linear:
			slope := (w.Value - v.Value) / time.Duration(w.Time-v.Time).Hours()
			area := func(t int64) float64 { // from v to t
				h := time.Duration(t - v.Time).Hours()
				return v.Value*h + slope*h*h/2
			}
			amount = area(y) - area(x)
		default:
			amount = v.Value * time.Duration(y-x).Hours()
		}
		c.amount += amount
		c.spanned = true
		if gap {
			c.interpolated, c.long = c.interpolated+amount, true
		} else {
			c.covered += time.Duration(y - x)
		}
		if v.Quality == reading.Estimated || w.Quality == reading.Estimated {
			c.estimated += amount
		}
	}
	return c
}

// events counts gaps, resets and exchanges by the later reading of a pair.
func (n naive) events(a, b int64) (gaps, resets, exchanges uint64) {
	for i := 1; i < len(n.readings); i++ {
		v, w := n.readings[i-1], n.readings[i]
		if w.Time < a || w.Time >= b {
			continue
		}
		if n.metric.MaxGap > 0 && time.Duration(w.Time-v.Time) > n.metric.MaxGap {
			gaps++
		}
		switch {
		case n.metric.Kind != catalog.Register || w.Value >= v.Value:
		case n.metric.ResetToZero:
			resets++
		default:
			exchanges++
		}
	}
	return gaps, resets, exchanges
}

// peak is the greatest mean power of a whole base window in [a, b) that holds a
// reading or lies between two; NaN when there is none.
func (n naive) peak(a, b int64) float64 {
	peak, width := math.NaN(), int64(n.metric.Window)
	for s := gold.WindowStart(a+width-1, n.metric.Window); s+width <= b; s += width {
		c := n.between(s, s+width)
		has := c.spanned && n.metric.PowerUnit != ""
		for _, v := range n.readings {
			has = has || v.Time >= s && v.Time < s+width && n.metric.PowerUnit != ""
		}
		if power := c.amount / n.metric.Window.Hours(); has && !(power <= peak) {
			peak = power
		}
	}
	return peak
}

// scale is the size of the sums that a history adds up.
func (n naive) scale() float64 {
	scale := 1.0
	for i, v := range n.readings {
		hours := 1.0
		if i > 0 {
			hours += time.Duration(v.Time - n.readings[i-1].Time).Hours()
		}
		scale += 2 * math.Abs(v.Value) * hours
	}
	return scale
}

// anyHistory draws readings of some days around a change of the clocks.
func anyHistory(t *rapid.T, m *catalog.Metric) naive {
	origin := rapid.SampledFrom([]string{
		"2026-03-06", "2026-03-27", "2026-10-23", "2026-10-30", "2018-11-02", "2011-12-28",
	}).Draw(t, "origin")
	day, err := time.Parse(time.DateOnly, origin)
	if err != nil {
		t.Fatal(err)
	}
	at := day.UnixNano()
	one := rapid.Custom(func(t *rapid.T) gold.Version {
		limit := rapid.SampledFrom([]time.Duration{time.Minute, 15 * time.Minute, time.Hour, 50 * time.Hour}).Draw(t, "up to")
		distance := rapid.Int64Range(1, int64(limit)).Draw(t, "distance")
		if rapid.Bool().Draw(t, "on the minute") {
			distance += int64(time.Minute) - distance%int64(time.Minute)
		}
		return gold.Version{
			Time: distance, Value: rapid.Float64Range(0, 1000).Draw(t, "value"), Epoch: 1,
			Quality: rapid.SampledFrom([]reading.Quality{reading.Actual, reading.Estimated}).Draw(t, "quality"),
		}
	})
	readings := rapid.SliceOfN(one, 1, 25).Draw(t, "readings")
	for i := range readings {
		at += readings[i].Time
		readings[i].Time = at
	}
	return naive{m, readings}
}

// answers folds the history's rows into the windows of [from, until).
func (n naive) answers(t *rapid.T, w gold.Windows, from, until int64) []gold.Aggregate {
	var got []gold.Aggregate
	a := gold.NewAggregator(n.metric, w, until, func(g gold.Aggregate) error {
		got = append(got, g)
		return nil
	})
	a.Begin(from)
	feed(t, a, n.metric, w, n.readings)
	if err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	return got
}

func amount(m *catalog.Metric, g *gold.Aggregate) float64 {
	if m.Kind == catalog.Register {
		return g.Stats.Advance
	}
	return g.Stats.Energy
}

// TestConsumptionIsConserved proves that consumption telescopes: over any windows, cut
// rows and windows without rows among them, each consumption is R(end) − R(start), and all
// sum to R(last) − R(first) (invariant 10).
func TestConsumptionIsConserved(t *testing.T) {
	t.Parallel()
	for _, window := range []time.Duration{15 * time.Minute, time.Hour} {
		for _, m := range paired(window) {
			t.Run(m.Name+" of "+window.String(), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					n := anyHistory(t, m)
					first, last := n.readings[0].Time, n.readings[len(n.readings)-1].Time
					got := n.answers(t, anyWindows(t), first, last+int64(30*time.Hour))
					sum, interpolated, covered := 0.0, 0.0, time.Duration(0)
					for i := range got {
						n.check(t, &got[i])
						sum, covered = sum+amount(m, &got[i]), covered+got[i].Stats.Covered
						if !math.IsNaN(got[i].Interpolated) {
							interpolated += got[i].Interpolated
						}
					}
					whole, tolerance := n.between(first, last), 1e-9*n.scale()
					if math.Abs(sum-whole.amount) > tolerance || math.Abs(interpolated-whole.interpolated) > tolerance ||
						covered != whole.covered {
						t.Fatalf("windows sum to %g (%g interpolated) over %s, want %+v", sum, interpolated, covered, whole)
					}
				})
			})
		}
	}
}

// check compares a window with the naive computation.
func (n naive) check(t *rapid.T, g *gold.Aggregate) {
	t.Helper()
	want, s := n.between(g.Start, g.End), &g.Stats
	near := func(what string, got, want float64) {
		if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > 1e-9*n.scale() {
			t.Fatalf("%s of [%d, %d) is %g, want %g", what, g.Start, g.End, got, want)
		}
	}
	near("consumption", amount(n.metric, g), want.amount)
	near("estimated energy", s.EstimatedEnergy, want.estimated)
	near("peak", g.Peak, n.peak(g.Start, g.End))
	if !want.long {
		want.interpolated = math.NaN()
	}
	near("interpolated energy", g.Interpolated, want.interpolated)
	if s.Covered != want.covered {
		t.Fatalf("[%d, %d) covers %s, want %s", g.Start, g.End, s.Covered, want.covered)
	}
	gaps, resets, exchanges := n.events(g.Start, g.End)
	if s.Gaps != gaps || s.Resets != resets || s.Exchanges != exchanges {
		t.Fatalf("[%d, %d) has %d gaps, %d resets, %d exchanges; want %d, %d, %d",
			g.Start, g.End, s.Gaps, s.Resets, s.Exchanges, gaps, resets, exchanges)
	}
	if open := g.End > n.last(); g.EdgeOpen != open {
		t.Fatalf("[%d, %d) has an open edge: %t, want %t", g.Start, g.End, g.EdgeOpen, open)
	}
}

func (n naive) last() int64 { return n.readings[len(n.readings)-1].Time }

// TestAPartOfAnAnswerEqualsTheWhole asks for some of the windows, with no row
// but the nearest on either side.
func TestAPartOfAnAnswerEqualsTheWhole(t *testing.T) {
	t.Parallel()
	for _, m := range paired(time.Hour) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				n, w := anyHistory(t, m), anyWindows(t)
				whole := n.answers(t, w, n.readings[0].Time, n.last()+1)
				i := rapid.IntRange(0, len(whole)-1).Draw(t, "from window")
				j := rapid.IntRange(i, len(whole)-1).Draw(t, "to window")
				from, until := whole[i].Start, whole[j].End

				near := n
				base := func(v *gold.Version) int64 { return gold.WindowStart(v.Time, m.Window) }
				lowest, highest := gold.WindowStart(from, m.Window), until
				for k := len(near.readings) - 1; k > 0; k-- { // whole rows, back to the first before
					if base(&near.readings[k]) < lowest && base(&near.readings[k-1]) < base(&near.readings[k]) {
						near.readings = near.readings[k:]
						break
					}
				}
				for k := 1; k < len(near.readings); k++ {
					if base(&near.readings[k-1]) >= highest && base(&near.readings[k]) > base(&near.readings[k-1]) {
						near.readings = near.readings[:k]
						break
					}
				}
				for k, g := range near.answers(t, w, from, until) {
					if diff := cmp.Diff(whole[i+k], g, cmpopts.EquateNaNs()); diff != "" {
						t.Fatal(diff)
					}
				}
			})
		})
	}
}
