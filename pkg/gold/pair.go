package gold

import (
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// edge is a reading as a pair needs it.
type edge struct {
	at      int64 // Unix ns
	value   float64
	quality reading.Quality
}

// pair is two neighbouring readings of a series and what the time between them
// adds. With R(t) the consumption up to t, it gives R between its readings;
// before the first and after the last reading of a series R is constant. The
// zero pair adds nothing.
//
//   - A register advances evenly: the amount of the pair rule (see advance)
//     times (t−t0)/(t1−t0). Further apart than max_gap it is interpolated.
//   - A linear gauge runs straight from one value to the other, so that R is
//     the area of the trapezoid up to t, quadratic in t.
//   - A step gauge holds its value: R grows by value × time.
//   - A gauge whose readings are further apart than max_gap adds nothing.
//
// R(b)−R(a) telescopes over any partition of time (invariant 10), and over [t0, t1] it
// has the bits of what Combine adds for the pair.
type pair struct {
	metric      *catalog.Metric
	left, right edge
	step        registerStep
	gap         bool
}

func newPair(m *catalog.Metric, left, right edge) pair {
	apart := time.Duration(right.at - left.at)
	p := pair{metric: m, left: left, right: right, gap: m.MaxGap > 0 && apart > m.MaxGap}
	if m.Kind == catalog.Register {
		p.step = advance(m, left.value, right.value, apart)
	}
	return p
}

// adds reports whether the time between the readings is accounted for.
func (p *pair) adds() bool {
	return p.right.at > p.left.at && (!p.gap || p.metric.Kind == catalog.Register)
}

// value returns the value that a linear gauge has at t.
func (p *pair) value(t int64) float64 {
	f := float64(t-p.left.at) / float64(p.right.at-p.left.at)
	return float64(p.left.value*(1-f)) + float64(p.right.value*f)
}

// between returns R(to) − R(from).
func (p *pair) between(from, to int64) float64 {
	from, to = max(from, p.left.at), min(to, p.right.at)
	if from >= to || !p.adds() {
		return 0
	}
	span := float64(to - from)
	switch {
	case p.metric.Kind == catalog.Register:
		return p.step.amount * (span / float64(p.right.at-p.left.at))
	case p.metric.EnergyUnit == "":
		return 0
	case p.metric.Integrate == catalog.Linear:
		return float64((p.value(from)/2+p.value(to)/2)*span) / nanosPerHour
	default:
		return float64(p.left.value*span) / nanosPerHour
	}
}

// share adds to a window what the pair, which lies across one of its ends,
// gives to it. The window that holds the later reading counts the pair itself.
func (c *Aggregate) share(p *pair) {
	s := &c.Stats
	if p.right.at > p.left.at && p.right.at < c.End {
		s.Resets += p.step.reset
		s.Exchanges += p.step.exchange
		s.addJump(p.step)
		if p.gap {
			s.Gaps++
			s.Flags = s.Flags.With(reading.Gap)
		}
	}
	from, to := max(c.Start, p.left.at), min(c.End, p.right.at)
	if from >= to || !p.adds() {
		return
	}
	amount := p.between(from, to)
	if p.metric.Kind == catalog.Register {
		s.Advance += amount
	} else {
		s.Energy += amount
	}
	estimated, corrected := byQuality(amount, p.left.quality, p.right.quality)
	s.EstimatedEnergy += estimated
	s.CorrectedEnergy += corrected
	if p.gap {
		c.interpolate(amount)
	} else {
		s.Covered += time.Duration(to - from)
	}
}

// interpolate counts an amount that the window has as interpolated.
func (c *Aggregate) interpolate(amount float64) {
	if math.IsNaN(c.Interpolated) {
		c.Interpolated = 0
	}
	c.Interpolated += amount
}
