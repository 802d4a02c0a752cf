package gold

import (
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Partial is the statistics of winners that are ordered in time and belong to
// one span. The zero Partial is that of no winner. Values are in the series'
// unit, energies in the metric's energy unit, times in Unix ns.
type Partial struct {
	Count             uint64
	Sum               float64
	Min, Max          float64
	MinAt, MaxAt      int64 // earliest time of the minimum and the maximum
	First, Last       float64
	FirstAt, LastAt   int64
	SquaredDeviations float64 // Σ(x−mean)²
	// Energy and Covered, of readings that cover spans, are what lies up to the
	// end of the span that is folded; what of them lies behind it belongs to the
	// spans that follow. Covered is the measure of the times that readings cover,
	// so that of overlapping ones no time counts twice.
	Energy          float64 // of intervals and gauges
	Advance         float64 // of a register
	Covered         time.Duration
	Gaps            uint64 // pairs further apart than max_gap
	Resets          uint64 // falls read as a reset to zero or a rollover
	Exchanges       uint64 // of the meter: recorded, or falls and jumps read as one
	EstimatedCount  uint64
	CorrectedCount  uint64
	EstimatedEnergy float64
	CorrectedEnergy float64
	Flags           reading.Rules
	FirstQuality    reading.Quality
	LastQuality     reading.Quality
	// Reach is the latest end of a reading that covers a span, 0 when none does.
	Reach int64
	// HeadUntil is the time of the last of the readings in a row that have the
	// value First, TailSince that of the first of those in a row with Last.
	HeadUntil, TailSince int64
	Overlaps             uint64 // readings that begin before one before them ends
	Spikes               uint64
	Jumps                uint64 // of the exchanges, those that a rise was read as
}

// nanosPerHour converts value × ns to value hours.
const nanosPerHour = float64(time.Hour)

// Mean returns the mean of the values; ok is false when there is none.
func (p *Partial) Mean() (mean float64, ok bool) {
	if p.Count == 0 {
		return 0, false
	}
	return p.Sum / float64(p.Count), true
}

// of returns the statistics of a single winner, but for the span that it covers.
// One that records an exchange of the meter is first the final index of the old
// one, then the start index of the new one.
func of(m *catalog.Metric, v *Version) Partial {
	p := Partial{
		Count: 1,
		Sum:   v.Value,
		Min:   v.Value, Max: v.Value, First: v.Value, Last: v.Value,
		MinAt: v.Time, MaxAt: v.Time, FirstAt: v.Time, LastAt: v.Time,
		HeadUntil: v.Time, TailSince: v.Time,
		Flags:        v.Flags,
		FirstQuality: v.Quality, LastQuality: v.Quality,
	}
	if m.Kind == catalog.Register && v.Exchange {
		// The record takes the place of a pair that no rule explains: what comes
		// before goes up to the final index, what comes after on from the start.
		p.Last, p.Exchanges = v.ExchangeStart, 1
	}
	if v.Flags.Has(reading.Spike) {
		p.Spikes = 1
	}
	switch v.Quality {
	case reading.Estimated:
		p.EstimatedCount = 1
	case reading.Corrected:
		p.CorrectedCount = 1
	default:
	}
	return p
}

// Fold returns the statistics of winners in time order, all that lie in a span
// that ends at end (Unix ns): the left fold of Combine over them one by one (invariant 7).
func Fold(m *catalog.Metric, winners []Version, end int64) Partial {
	return foldUnder(m, winners, math.MinInt64, end)
}

// foldUnder is Fold where readings before the span cover time up to reach, which
// winners do not cover again.
func foldUnder(m *catalog.Metric, winners []Version, reach, end int64) Partial {
	var p Partial
	spans := m.Interval()
	for i := range winners {
		one := of(m, &winners[i])
		if spans {
			one.cover(m, &winners[i], reach, end)
			reach = max(reach, one.Reach)
		}
		p.append(m, &one)
	}
	return p
}

// cover adds what a winner that covers a span has up to end. Readings before it
// cover time up to reach.
func (p *Partial) cover(m *catalog.Metric, v *Version, reach, end int64) {
	c := coverOf(v)
	if v.Length > 0 {
		p.Reach = c.end
	}
	if from, to := max(c.start, reach), min(c.end, end); from < to {
		p.Covered = time.Duration(to - from)
	}
	if c.start < reach {
		p.overlap(1)
	}
	p.Energy = c.energy(m, c.start, end)
	p.EstimatedEnergy, p.CorrectedEnergy = byQuality(p.Energy, v.Quality, v.Quality)
}

// overlap says that so many winners begin before one before them ends.
func (p *Partial) overlap(n uint64) {
	p.Overlaps = n
	p.Flags = p.Flags.With(reading.Overlap)
}

// Combine returns the statistics of a's winners followed by b's. Every winner
// of a must come before every winner of b, and what a has of spans that its
// winners cover ends where b begins. Besides adding up, it accounts for the pair
// (last of a, first of b). Statistics are its left fold, stored or not (invariant 7).
func Combine(m *catalog.Metric, a, b Partial) Partial {
	a.append(m, &b)
	return a
}

// append makes p the statistics of its winners followed by b's: see Combine.
func (p *Partial) append(m *catalog.Metric, b *Partial) {
	switch {
	case p.Count == 0:
		empty := *p
		*p = *b
		p.give(&empty)
	case b.Count == 0:
		p.give(b)
	default:
		t := p.tail()
		p.Add(b)
		p.Last, p.LastAt, p.LastQuality, p.TailSince = b.Last, b.LastAt, b.LastQuality, b.TailSince
		p.addPair(m, &t, b)
	}
}

// tail is the end of a span's winners as the next one needs it.
type tail struct {
	edge        // the last winner
	reach int64 // see Partial.Reach
	since int64 // see Partial.TailSince
}

func (p *Partial) tail() tail { return tail{p.last(), p.Reach, p.TailSince} }

// Add adds what counts and sums b has, of winners whichever they are, to p. Its
// first and last winner stay.
func (p *Partial) Add(b *Partial) {
	switch {
	case b.Count == 0:
	case p.Count == 0:
		p.Min, p.MinAt, p.Max, p.MaxAt, p.SquaredDeviations = b.Min, b.MinAt, b.Max, b.MaxAt, b.SquaredDeviations
	default:
		if b.Min < p.Min {
			p.Min, p.MinAt = b.Min, b.MinAt
		}
		if b.Max > p.Max {
			p.Max, p.MaxAt = b.Max, b.MaxAt
		}
		p.SquaredDeviations = squaredDeviations(p, b)
	}
	p.Count += b.Count
	p.Sum += b.Sum
	p.Energy += b.Energy
	p.Advance += b.Advance
	p.Covered += b.Covered
	p.Gaps += b.Gaps
	p.Resets += b.Resets
	p.Exchanges += b.Exchanges
	p.EstimatedCount += b.EstimatedCount
	p.CorrectedCount += b.CorrectedCount
	p.EstimatedEnergy += b.EstimatedEnergy
	p.CorrectedEnergy += b.CorrectedEnergy
	p.Flags |= b.Flags
	p.Overlaps += b.Overlaps
	p.Spikes += b.Spikes
	p.Jumps += b.Jumps
	p.Reach = max(p.Reach, b.Reach)
}

// give adds the statistics of a span without winners: what readings around it
// give to it.
func (p *Partial) give(empty *Partial) {
	if *empty == (Partial{}) {
		return // a sum of −0 stays one
	}
	p.Energy += empty.Energy
	p.Advance += empty.Advance
	p.Covered += empty.Covered
	p.EstimatedEnergy += empty.EstimatedEnergy
	p.CorrectedEnergy += empty.CorrectedEnergy
	p.Flags |= empty.Flags
	p.Reach = max(p.Reach, empty.Reach)
}

// squaredDeviations combines Σ(x−mean)² of two sets after Chan, Golub and
// LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
// Variances" (1979).
func squaredDeviations(a, b *Partial) float64 {
	na, nb := float64(a.Count), float64(b.Count)
	delta := b.Sum/nb - a.Sum/na
	between := float64(delta*delta) * (float64(na*nb) / (na + nb))
	return a.SquaredDeviations + b.SquaredDeviations + float64(between)
}

// addPair accounts for the time between the winner before and the first of b, which
// p ends with already.
func (p *Partial) addPair(m *catalog.Metric, before *tail, b *Partial) {
	apart := time.Duration(b.FirstAt - before.at)
	gap := tooFar(m, before.at, before.reach, b.FirstAt)
	if gap {
		p.Gaps++
		p.Flags = p.Flags.With(reading.Gap)
	}
	p.addRun(m, before, b, gap)
	var energy float64
	switch {
	case m.Kind == catalog.Register:
		step := advance(m, before.value, b.First, apart)
		p.Advance += step.amount
		p.Resets += step.reset
		p.Exchanges += step.exchange
		p.addJump(step)
		energy = step.amount
	case gap:
		return
	case m.Integrate == catalog.Linear:
		energy = float64((before.value/2+b.First/2)*float64(apart)) / nanosPerHour
	case m.Integrate == catalog.Step:
		energy = float64(before.value*float64(apart)) / nanosPerHour
	default:
		return
	}
	if !gap {
		p.Covered += apart
	}
	if m.Kind != catalog.Register {
		if m.EnergyUnit == "" {
			return
		}
		p.Energy += energy
	}
	estimated, corrected := byQuality(energy, before.quality, b.FirstQuality)
	p.EstimatedEnergy += estimated
	p.CorrectedEnergy += corrected
}

// tooFar reports whether a reading at next follows further than max_gap behind
// the one at last, or behind the end of what the readings up to it cover.
func tooFar(m *catalog.Metric, last, reach, next int64) bool {
	return m.MaxGap > 0 && time.Duration(next-max(last, reach)) > m.MaxGap
}

// addJump counts a rise that was read as an exchange.
func (p *Partial) addJump(step registerStep) {
	if step.jump > 0 {
		p.Jumps += step.jump
		p.Flags = p.Flags.With(reading.Jump)
	}
}

// addRun accounts for the run of equal values up to the winner before, which b may
// go on with.
func (p *Partial) addRun(m *catalog.Metric, before *tail, b *Partial, gap bool) {
	if gap || before.value != b.First {
		return
	}
	if p.HeadUntil == before.at && p.First == before.value {
		p.HeadUntil = b.HeadUntil
	}
	if b.TailSince == b.FirstAt && b.First == b.Last {
		p.TailSince = before.since
	}
	if stuck(m, before, b) {
		p.Flags = p.Flags.With(reading.Stuck)
	}
}

// byQuality attributes energy to the quality of the readings that it rests on.
func byQuality(energy float64, a, b reading.Quality) (estimated, corrected float64) {
	switch {
	case a == reading.Estimated || b == reading.Estimated:
		return energy, 0
	case a == reading.Corrected || b == reading.Corrected:
		return 0, energy
	default:
		return 0, 0
	}
}

// registerStep is what happened between two readings of a register.
type registerStep struct {
	amount          float64
	reset, exchange uint64
	jump            uint64 // 1 of an exchange that is a rise
}

// advance reads the step of a register from prev to cur. Nothing above what the
// meter can have counted in that time is believed: an impossible jump and a
// fall that no rule explains count as an exchange, which adds nothing and sets
// a new baseline.
func advance(m *catalog.Metric, prev, cur float64, apart time.Duration) registerStep {
	d := cur - prev
	bounded := m.MaxRate > 0
	limit := float64(m.MaxRate*(float64(apart)/nanosPerHour)) + 2*m.DipTol
	within := func(x float64) bool { return !bounded || x <= limit }
	switch {
	case d >= 0 && within(d), d < 0 && d >= -m.DipTol:
		return registerStep{amount: d}
	case m.Rollover > 0 && d+m.Rollover >= 0 && d < 0 &&
		within(d+m.Rollover) && d+m.Rollover <= m.Rollover/2:
		return registerStep{amount: d + m.Rollover, reset: 1}
	case m.ResetToZero && d < 0 && within(cur):
		return registerStep{amount: cur, reset: 1}
	case d > 0:
		return registerStep{exchange: 1, jump: 1}
	default:
		return registerStep{exchange: 1}
	}
}
