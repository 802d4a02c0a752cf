package gold

import (
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

// Of returns the statistics of a single winner. One that records an exchange
// of the meter is first the final index of the old one, then the start index of
// the new one.
func Of(m *catalog.Metric, v *Version) Partial {
	p := Partial{
		Count: 1,
		Sum:   v.Value,
		Min:   v.Value, Max: v.Value, First: v.Value, Last: v.Value,
		MinAt: v.Time, MaxAt: v.Time, FirstAt: v.Time, LastAt: v.Time,
		Flags:        v.Flags,
		FirstQuality: v.Quality, LastQuality: v.Quality,
	}
	switch {
	case m.Kind == catalog.Register && v.Exchange:
		// The record takes the place of a pair that no rule explains: what comes
		// before goes up to the final index, what comes after on from the start.
		p.Last, p.Exchanges = v.ExchangeStart, 1
	case m.Kind == catalog.Interval:
		p.Energy, p.Covered = v.Value, v.Length
	case m.Integrate == catalog.Mean:
		p.Covered = v.Length
		if m.EnergyUnit != "" {
			p.Energy = float64(v.Value*float64(v.Length)) / nanosPerHour
		}
	}
	p.EstimatedEnergy, p.CorrectedEnergy = byQuality(p.Energy, v.Quality, v.Quality)
	switch v.Quality {
	case reading.Estimated:
		p.EstimatedCount = 1
	case reading.Corrected:
		p.CorrectedCount = 1
	default:
	}
	return p
}

// Fold returns the statistics of winners in time order: the left fold of
// Combine over Of.
func Fold(m *catalog.Metric, winners []Version) Partial {
	var p Partial
	for i := range winners {
		p = Combine(m, p, Of(m, &winners[i]))
	}
	return p
}

// Combine returns the statistics of a's winners followed by b's. Every winner
// of a must come before every winner of b. Besides adding up, it accounts for
// the pair (last of a, first of b).
func Combine(m *catalog.Metric, a, b Partial) Partial {
	if a.Count == 0 {
		return b
	}
	if b.Count == 0 {
		return a
	}
	p := a
	p.Count += b.Count
	p.Sum += b.Sum
	if b.Min < a.Min {
		p.Min, p.MinAt = b.Min, b.MinAt
	}
	if b.Max > a.Max {
		p.Max, p.MaxAt = b.Max, b.MaxAt
	}
	p.Last, p.LastAt, p.LastQuality = b.Last, b.LastAt, b.LastQuality
	p.SquaredDeviations = squaredDeviations(&a, &b)
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
	p.addPair(m, &a, &b)
	return p
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

// addPair accounts for the time between the last winner of a and the first of
// b.
func (p *Partial) addPair(m *catalog.Metric, a, b *Partial) {
	apart := time.Duration(b.FirstAt - a.LastAt)
	gap := m.MaxGap > 0 && apart > m.MaxGap
	if gap {
		p.Gaps++
	}
	var energy float64
	switch {
	case m.Kind == catalog.Register:
		step := advance(m, a.Last, b.First, apart)
		p.Advance += step.amount
		p.Resets += step.reset
		p.Exchanges += step.exchange
		energy = step.amount
	case gap:
		return
	case m.Integrate == catalog.Linear:
		energy = float64((a.Last/2+b.First/2)*float64(apart)) / nanosPerHour
	case m.Integrate == catalog.Step:
		energy = float64(a.Last*float64(apart)) / nanosPerHour
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
	estimated, corrected := byQuality(energy, a.LastQuality, b.FirstQuality)
	p.EstimatedEnergy += estimated
	p.CorrectedEnergy += corrected
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
	default:
		return registerStep{exchange: 1}
	}
}
