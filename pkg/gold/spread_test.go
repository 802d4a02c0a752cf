package gold_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// spanning has the metrics whose readings cover spans.
func spanning(window time.Duration) []*catalog.Metric {
	return []*catalog.Metric{
		{Name: "interval", Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW", Window: window},
		{Name: "mean", Kind: catalog.Gauge, Integrate: catalog.Mean, EnergyUnit: "kWh", PowerUnit: "kW", Window: window},
		{Name: "voltage", Kind: catalog.Gauge, Integrate: catalog.Mean, Window: window},
	}
}

// spans is a history of readings that cover spans, and a naive computation of
// what windows have of them.
type spans struct {
	metric   *catalog.Metric
	readings []gold.Version // in order of time
}

// drawSpans draws readings that follow each other, with gaps, overlaps and
// lengths of all sizes, in the days around a change of the clocks.
func drawSpans(t *rapid.T, m *catalog.Metric) spans {
	day, err := time.Parse(time.DateOnly, rapid.SampledFrom([]string{
		"2026-03-07", "2026-03-28", "2026-04-03", "2026-10-03", "2026-10-24", "2026-10-31", "2018-11-03", "2011-12-29",
	}).Draw(t, "origin"))
	if err != nil {
		t.Fatal(err)
	}
	at := day.UnixNano()
	lengths := rapid.SampledFrom([][]time.Duration{
		{15 * time.Minute}, {time.Hour}, {24 * time.Hour, 7 * time.Minute},
		{0, 1, time.Minute, 10 * time.Minute, 15 * time.Minute, 61 * time.Minute, 30 * time.Hour},
	}).Draw(t, "lengths")
	steps := rapid.SampledFrom([][]time.Duration{
		{0}, {0, 0, 0, time.Minute}, {-7 * time.Minute, 0, 3 * time.Hour}, {-20 * time.Hour, 0, 50 * time.Hour},
	}).Draw(t, "steps")
	at += int64(rapid.SampledFrom([]time.Duration{0, 7 * time.Minute, 22 * time.Hour, 1}).Draw(t, "offset"))
	s := spans{metric: m}
	for range rapid.IntRange(1, 40).Draw(t, "readings") {
		v := gold.Version{
			Stamp: goldtest.Stamp().Draw(t, "stamp"), Time: at, Length: rapid.SampledFrom(lengths).Draw(t, "length"), Epoch: 1,
			Value: rapid.SampledFrom([]float64{0, 0.1, 1, 1.0 / 3, 7e6, -2.5}).Draw(t, "value"),
			Quality: rapid.SampledFrom([]reading.Quality{reading.Actual, reading.Estimated, reading.Corrected}).
				Draw(t, "quality"),
		}
		s.readings = append(s.readings, v)
		step := int64(v.Length) + int64(rapid.SampledFrom(steps).Draw(t, "step"))
		at += max(1, step)
	}
	return s
}

func ends(v *gold.Version) int64 { return v.Time + int64(v.Length) }

func (s spans) energy(v *gold.Version) float64 {
	switch {
	case s.metric.Kind == catalog.Interval:
		return v.Value
	case s.metric.EnergyUnit == "":
		return 0
	default:
		return v.Value * v.Length.Hours()
	}
}

// between returns what [a, b) has: the sum of overlap shares, and the measure of
// the times that a reading covers.
func (s spans) between(a, b int64) (energy, estimated float64, covered time.Duration) {
	bounds := []int64{a, b}
	for i := range s.readings {
		v := &s.readings[i]
		share := 0.0
		if v.Length == 0 && v.Time >= a && v.Time < b {
			share = 1
		} else if over := min(b, ends(v)) - max(a, v.Time); v.Length > 0 && over > 0 {
			share = time.Duration(over).Seconds() / v.Length.Seconds()
			bounds = append(bounds, max(a, v.Time), min(b, ends(v)))
		}
		energy += s.energy(v) * share
		if v.Quality == reading.Estimated {
			estimated += s.energy(v) * share
		}
	}
	slices.Sort(bounds)
	for i := range bounds[1:] {
		from, to := bounds[i], bounds[i+1]
		if slices.ContainsFunc(s.readings, func(v gold.Version) bool { return v.Time <= from && ends(&v) >= to }) {
			covered += time.Duration(to - from)
		}
	}
	return energy, estimated, covered
}

// peak is the greatest mean power of a whole base window that has readings or is
// covered by some.
func (s spans) peak(a, b int64) float64 {
	peak, width := math.NaN(), int64(s.metric.Window)
	for start := gold.WindowStart(a+width-1, s.metric.Window); start+width <= b; start += width {
		energy, _, covered := s.between(start, start+width)
		begins := slices.ContainsFunc(s.readings, func(v gold.Version) bool {
			return v.Time >= start && v.Time < start+width
		})
		if power := energy / s.metric.Window.Hours(); (covered > 0 || begins) && !(power <= peak) {
			peak = power
		}
	}
	if s.metric.PowerUnit == "" {
		return math.NaN()
	}
	return peak
}

func (s spans) overlaps(a, b int64) (n uint64) {
	reach := int64(math.MinInt64)
	for i := range s.readings {
		v := &s.readings[i]
		if v.Time >= a && v.Time < b && v.Time < reach {
			n++
		}
		if v.Length > 0 {
			reach = max(reach, ends(v))
		}
	}
	return n
}

func (s spans) scale() float64 {
	scale := 1.0
	for i := range s.readings {
		scale += math.Abs(s.energy(&s.readings[i]))
	}
	return scale
}

// end is that of the last reading to end.
func (s spans) end() int64 {
	end := s.readings[len(s.readings)-1].Time + 1
	for i := range s.readings {
		end = max(end, ends(&s.readings[i]))
	}
	return end
}

// rows are the base rows that the readings make.
func (s spans) rows() (rows []gold.Stored, versions [][]gold.Version, reach int64) {
	for rest := s.readings; len(rest) > 0; {
		row := gold.Stored{Start: gold.WindowStart(rest[0].Time, s.metric.Window), Width: s.metric.Window}
		n := 1
		for n < len(rest) && rest[n].Time < row.End() {
			n++
		}
		stats := gold.Fold(s.metric, gold.RowWinners(s.metric, rest[:n]), row.End())
		row.Summary = gold.Summarize(s.metric, row.Start, row.Width, stats)
		row.Standing = gold.Stand(history, rest[:n])
		row.Revision, row.Changed = int64(n), time.Unix(rest[0].Time%1000, 0).UTC()
		rows, versions = append(rows, row), append(versions, rest[:n])
		if row.Stats.Reach > row.End() {
			reach = max(reach, row.Stats.Reach-row.Start)
		}
		rest = rest[n:]
	}
	return rows, versions, reach
}

// spread spreads the rows that a reader of [from, to) looks at: those before
// from only as far back as any reading reaches, versions only where needed.
func (s spans) spread(t *rapid.T, w gold.Windows, from, to int64, emit func(*gold.Stored) error) {
	rows, versions, reach := s.rows()
	spread := gold.NewSpread(s.metric, w, from, to, emit)
	spread.SetHistory(history)
	for i := range rows {
		if rows[i].Start >= to || rows[i].End() <= from && rows[i].Start < from-reach {
			continue
		}
		err := spread.Add(&rows[i], nil)
		if errors.Is(err, gold.ErrVersions) {
			err = spread.Add(&rows[i], versions[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := spread.Finish(); err != nil {
		t.Fatal(err)
	}
}

// parents returns the stored parents of the day or of the hour, none when it has
// no row.
func (s spans) parents(t *rapid.T, start int64, span time.Duration) []gold.Stored {
	day, own := gold.WindowStart(start, gold.DaySpan), false
	var pieces []gold.Stored
	s.spread(t, gold.Windows{}, day, day+int64(gold.DaySpan), func(p *gold.Stored) error {
		own = own || p.Stats.Count > 0
		pieces = append(pieces, *p)
		return nil
	})
	if !own {
		return nil
	}
	hours, whole := gold.Parents(s.metric, pieces)
	if span == gold.DaySpan {
		return []gold.Stored{whole}
	}
	return slices.DeleteFunc(hours, func(h gold.Stored) bool { return h.Start != start })
}

// answer gives the windows of [from, until) from base rows, and from parents
// wherever stored says so and a window holds them whole.
func (s spans) answer(
	t *rapid.T, w gold.Windows, from, until int64, stored func(start int64, span time.Duration) bool,
) (got []gold.Aggregate) {
	a := gold.NewAggregator(s.metric, w, until, func(g gold.Aggregate) error {
		got = append(got, g)
		return nil
	})
	a.Begin(from)
	lowest, _ := w.Bounds(from)
	_, highest := w.Bounds(until - 1)
	if stored == nil {
		s.spread(t, w, lowest, highest, a.Add)
	}
	for at := lowest; stored != nil && at < highest; {
		at = s.step(t, w, a, at, highest, stored)
	}
	if err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	return got
}

// step adds the parents that begin at a time, or base rows up to the next hour.
func (s spans) step(
	t *rapid.T, w gold.Windows, a *gold.Aggregator, at, to int64, stored func(int64, time.Duration) bool,
) int64 {
	_, end := w.Bounds(at)
	for _, span := range []time.Duration{gold.DaySpan, gold.HourSpan} {
		if gold.WindowStart(at, span) != at || at+int64(span) > end || !stored(at, span) {
			continue
		}
		if parents := s.parents(t, at, span); len(parents) > 0 {
			if err := a.Add(&parents[0]); err != nil {
				t.Fatal(err)
			}
			return at + int64(span)
		}
	}
	next := min(to, gold.WindowStart(at, time.Hour)+int64(time.Hour))
	s.spread(t, w, at, next, a.Add)
	return next
}

// TestSpansAreSharedAmongWindows proves that energy and covered time of readings that
// cover spans telescope: each window has the sum of overlap shares, and all windows have
// the whole (invariant 10).
func TestSpansAreSharedAmongWindows(t *testing.T) {
	t.Parallel()
	for _, window := range []time.Duration{15 * time.Minute, time.Hour} {
		for _, m := range spanning(window) {
			t.Run(m.Name+" of "+window.String(), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					s := drawSpans(t, m)
					got := s.answer(t, anyWindows(t), s.readings[0].Time, s.end()+int64(time.Hour), nil)
					energy, covered, count := 0.0, time.Duration(0), uint64(0)
					for i := range got {
						s.check(t, &got[i])
						energy, covered = energy+got[i].Stats.Energy, covered+got[i].Stats.Covered
						count += got[i].Stats.Count
					}
					whole, _, all := s.between(s.readings[0].Time, s.end())
					if math.Abs(energy-whole) > 1e-9*s.scale() || covered != all || count != uint64(len(s.readings)) {
						t.Fatalf("windows sum to %g over %s, want %g over %s", energy, covered, whole, all)
					}
				})
			})
		}
	}
}

func (s spans) check(t *rapid.T, g *gold.Aggregate) {
	t.Helper()
	near := func(what string, got, want float64) {
		if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > 1e-9*s.scale() {
			t.Fatalf("%s of [%d, %d) is %g, want %g", what, g.Start, g.End, got, want)
		}
	}
	energy, estimated, covered := s.between(g.Start, g.End)
	near("energy", g.Stats.Energy, energy)
	near("estimated energy", g.Stats.EstimatedEnergy, estimated)
	near("peak", g.Peak, s.peak(g.Start, g.End))
	if g.Stats.Covered != covered || g.Completeness > 1 || covered > time.Duration(g.End-g.Start) {
		t.Fatalf("[%d, %d) covers %s, want %s", g.Start, g.End, g.Stats.Covered, covered)
	}
	overlaps := s.overlaps(g.Start, g.End)
	if g.Stats.Overlaps != overlaps || g.Stats.Flags.Has(reading.Overlap) != (overlaps > 0) {
		t.Fatalf("[%d, %d) has %d overlaps (%s), want %d", g.Start, g.End, g.Stats.Overlaps, g.Stats.Flags, overlaps)
	}
}

// TestSpansHaveEqualBitsFromParentsAndRows answers from base rows, then with some of the
// days and hours replaced by their folds, then a part of the windows (invariant 13).
func TestSpansHaveEqualBitsFromParentsAndRows(t *testing.T) {
	t.Parallel()
	for _, m := range spanning(15 * time.Minute) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				s, w := drawSpans(t, m), anyWindows(t)
				from, until := s.readings[0].Time, min(s.end()+1, s.readings[0].Time+int64(9*gold.DaySpan))
				whole := s.answer(t, w, from, until, nil)
				mask := rapid.Uint64().Draw(t, "stored")
				got := s.answer(t, w, from, until, func(start int64, span time.Duration) bool {
					return mask>>(start/int64(span)%64)&1 == 1
				})
				if diff := gocmp.Diff(bitsOfAll(whole), bitsOfAll(got)); diff != "" {
					t.Fatalf("from rows and from parents (-rows +parents):\n%s", diff)
				}
				i := rapid.IntRange(0, len(whole)-1).Draw(t, "from window")
				j := rapid.IntRange(i, len(whole)-1).Draw(t, "to window")
				got = s.answer(t, w, whole[i].Start, whole[j].End, nil)
				for k := range got { // the cadence is that of rows seen
					got[k].Expected, got[k].Completeness = whole[i+k].Expected, whole[i+k].Completeness
				}
				if diff := gocmp.Diff(bitsOfAll(whole[i:j+1]), bitsOfAll(got)); diff != "" {
					t.Fatalf("all and a part (-all +part):\n%s", diff)
				}
			})
		})
	}
}

func bitsOfAll(all []gold.Aggregate) (bits []string) {
	for i := range all {
		bits = append(bits, bitsOf(&all[i]))
	}
	return bits
}

// TestSpansKnown has values that a person can check.
func TestSpansKnown(t *testing.T) {
	t.Parallel()
	const quarter = 15 * time.Minute
	at := func(d, length time.Duration, value float64) gold.Version {
		return gold.Version{Time: int64(d), Length: length, Value: value, Epoch: 1}
	}
	type window struct {
		energy  float64
		covered time.Duration
		count   uint64
	}
	tests := []struct {
		name     string
		readings []gold.Version
		want     []window // quarters of an hour
		peak     float64  // of the hour
	}{
		{"an hour gives each quarter a quarter", []gold.Version{at(0, time.Hour, 4)},
			[]window{{1, quarter, 1}, {1, quarter, 0}, {1, quarter, 0}, {1, quarter, 0}}, 4},
		{"quarters that are 7 minutes late", []gold.Version{at(7*time.Minute, quarter, 15), at(22*time.Minute, quarter, 30)},
			[]window{{8, 8 * time.Minute, 1}, {7 + 16, quarter, 1}, {14, 7 * time.Minute, 0}, {0, 0, 0}}, 92},
		{"the middle of an overlap counts once", []gold.Version{at(0, 2*quarter, 2), at(quarter, 2*quarter, 4)},
			[]window{{1, quarter, 1}, {3, quarter, 1}, {2, quarter, 0}, {0, 0, 0}}, 12},
		{"a reading inside another adds its energy", []gold.Version{at(0, time.Hour, 4), at(20*time.Minute, time.Minute, 1)},
			[]window{{1, quarter, 1}, {2, quarter, 1}, {1, quarter, 0}, {1, quarter, 0}}, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				s := spans{spanning(quarter)[0], tt.readings}
				for hour := range 2 {
					width := []time.Duration{quarter, time.Hour}[hour]
					w, err := gold.FixedWindows(width)
					if err != nil {
						rt.Fatal(err)
					}
					got := s.answer(rt, w, 0, int64(time.Hour), nil)
					if hour == 1 {
						if math.Abs(got[0].Peak-tt.peak) > 1e-12 {
							rt.Fatalf("the peak is %g, want %g", got[0].Peak, tt.peak)
						}
						continue
					}
					for i, g := range got {
						is := fmt.Sprint(window{math.Round(g.Stats.Energy*1e9) / 1e9, g.Stats.Covered, g.Stats.Count})
						if is != fmt.Sprint(tt.want[i]) {
							rt.Fatalf("quarter %d has %s, want %v", i, is, tt.want[i])
						}
					}
				}
			})
		})
	}
}

// TestSpreadIsAFunctionOfTheSet merges versions in any order and repetition.
func TestSpreadIsAFunctionOfTheSet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, w := drawSpans(t, spanning(15 * time.Minute)[0]), anyWindows(t)
		want := s.answer(t, w, s.readings[0].Time, s.end(), nil)
		shuffled := rapid.Permutation(s.readings).Draw(t, "order")
		var set []gold.Version
		for _, v := range append(shuffled, shuffled[0]) {
			set = gold.Merge(set, gold.Normalize([]gold.Version{v}))
		}
		s.readings = gold.Winners(nil, set)
		if !slices.IsSortedFunc(s.readings, func(v, w gold.Version) int { return cmp.Compare(v.Time, w.Time) }) {
			t.Fatal("winners are not in order")
		}
		got := s.answer(t, w, s.readings[0].Time, s.end(), nil)
		if diff := gocmp.Diff(bitsOfAll(want), bitsOfAll(got)); diff != "" {
			t.Fatal(diff)
		}
	})
}
