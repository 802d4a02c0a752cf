package gold_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// flagging has metrics with all set-based flags.
func flagging() []*catalog.Metric {
	return []*catalog.Metric{
		{Name: "voltage", Kind: catalog.Gauge},
		{Name: "interval", Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW"},
		{Name: "linear", Kind: catalog.Gauge, Integrate: catalog.Linear, EnergyUnit: "kWh", PowerUnit: "kW"},
	}
}

// drawFlagged draws readings of few values, some of them far away from others.
func drawFlagged(t *rapid.T, m *catalog.Metric) spans {
	at := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC).UnixNano()
	s := spans{metric: m}
	for range rapid.IntRange(1, 80).Draw(t, "readings") {
		step := rapid.SampledFrom([]time.Duration{
			2 * time.Minute, 2 * time.Minute, 2 * time.Minute, 20 * time.Minute, 41 * time.Minute, 30 * time.Hour,
		}).Draw(t, "step")
		at += int64(step)
		v := gold.Version{Time: at, Epoch: 1, Quality: reading.Actual}
		v.Value = rapid.SampledFrom([]float64{1, 1, 1, 1.5, 2, 40}).Draw(t, "value")
		if m.Interval() {
			v.Length = rapid.SampledFrom([]time.Duration{2 * time.Minute, 10 * time.Minute, 3 * time.Hour}).Draw(t, "length")
		}
		s.readings = append(s.readings, v)
	}
	return s
}

// flags says of each reading by the definitions which rules flag it.
func (s spans) flags(i int) (flags reading.Rules) {
	v, m := &s.readings[i], s.metric
	gap := func(i int) bool {
		end := int64(math.MinInt64)
		for j := range s.readings[:i] {
			end = max(end, ends(&s.readings[j]))
		}
		return i > 0 && time.Duration(s.readings[i].Time-end) > m.MaxGap
	}
	if gap(i) {
		flags = flags.With(reading.Gap)
	}
	first := i
	for first > 0 && s.readings[first-1].Value == v.Value && !gap(first) {
		first--
	}
	if time.Duration(v.Time-s.readings[first].Time) >= m.Stuck && first < i {
		flags = flags.With(reading.Stuck)
	}
	var values, deviations []float64
	for j := range s.readings {
		if gold.WindowStart(s.readings[j].Time, m.Window) == gold.WindowStart(v.Time, m.Window) {
			values = append(values, s.readings[j].Value)
		}
	}
	middle := func(x []float64) float64 {
		slices.Sort(x)
		return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
	}
	center := middle(values)
	for _, x := range values {
		deviations = append(deviations, math.Abs(x-center))
	}
	deviation := middle(deviations) / 0.6744897501960817
	if len(values) >= 5 && deviation > 0 && math.Abs(v.Value-center) > m.Spike*deviation {
		flags = flags.With(reading.Spike)
	}
	return flags
}

// TestFlagsOfSets compares the flags of windows with the definitions, reading by
// reading, whatever rows, parents and windows lie between neighbours.
func TestFlagsOfSets(t *testing.T) {
	t.Parallel()
	for _, m := range flagging() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			m.Window, m.MaxGap, m.Stuck, m.Spike = 15*time.Minute, 40*time.Minute, time.Hour, 3
			rapid.Check(t, func(t *rapid.T) {
				s, w := drawFlagged(t, m), anyWindows(t)
				from, until := s.readings[0].Time, s.readings[len(s.readings)-1].Time+1
				var got []gold.Aggregate
				if mask := rapid.Uint64().Draw(t, "stored"); m.Paired() {
					got = naive{m, s.readings}.answers(t, w, from, until)
				} else {
					got = s.answer(t, w, from, until, func(start int64, span time.Duration) bool {
						return mask>>(start/int64(span)%64)&1 == 1
					})
				}
				for _, g := range got {
					s.checkFlags(t, &g)
				}
			})
		})
	}
}

func (s spans) checkFlags(t *rapid.T, g *gold.Aggregate) {
	t.Helper()
	want, counts := reading.Rules(0), map[reading.Rule]uint64{}
	for i := range s.readings {
		if s.readings[i].Time < g.Start || s.readings[i].Time >= g.End {
			continue
		}
		flags := s.flags(i)
		want |= flags
		for _, rule := range []reading.Rule{reading.Gap, reading.Spike} {
			if flags.Has(rule) {
				counts[rule]++
			}
		}
	}
	if s.metric.Interval() {
		if n := s.overlaps(g.Start, g.End); n > 0 {
			want, counts[reading.Overlap] = want.With(reading.Overlap), n
		}
	}
	if g.Stats.Flags != want {
		t.Fatalf("[%d, %d) is flagged %q, want %q", g.Start, g.End, g.Stats.Flags, want)
	}
	got := map[reading.Rule]uint64{}
	for _, f := range g.Stats.FlagCounts() {
		if f.Count > 0 {
			got[f.Rule] = f.Count
		}
	}
	if diff := cmp.Diff(counts, got); diff != "" {
		t.Fatalf("counts of [%d, %d) (-want +got):\n%s", g.Start, g.End, diff)
	}
}

// TestJumps tells a rise that no meter can have counted from a fall, across the
// edge of windows too.
func TestJumps(t *testing.T) {
	t.Parallel()
	m := &catalog.Metric{
		Kind: catalog.Register, MaxRate: 10, EnergyUnit: "kWh", PowerUnit: "kW", Window: 15 * time.Minute,
	}
	hour := func(h int, value float64) gold.Version { return at(time.Duration(h)*time.Hour, value) }
	got := answersOf(t, m, time.Hour, 5*time.Hour, hour(0, 100), hour(1, 105), hour(2, 5000), hour(3, 5001), hour(4, 7))
	for i, want := range []string{"", "", "jump", "", ""} {
		if flags := got[i].Stats.Flags.String(); flags != want {
			t.Errorf("hour %d is flagged %q, want %q", i, flags, want)
		}
	}
	if got[2].Stats.Jumps != 1 || got[2].Stats.Exchanges != 1 || got[4].Stats.Jumps != 0 || got[4].Stats.Exchanges != 1 {
		t.Errorf("jumps and exchanges: %+v, %+v", got[2].Stats, got[4].Stats)
	}
}
