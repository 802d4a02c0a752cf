package gold

import (
	"math"

	"github.com/energy-platform/energy/pkg/catalog"
)

// Pool is the answer for one window of several series of one metric and unit,
// added up in the order that they come in. It has no first and last reading, and
// no peak: that is the greatest mean power of pooled base windows.
type Pool struct {
	Aggregate
	// Members counts the series, Contributing those of which something is known.
	Members, Contributing uint32
	Finality              Finality // provisional if one is, else restated if one is
	ClosesAt              int64    // when the last one closes, Unix ns

	member   int64 // the last one
	known    bool  // whether something is known of it
	complete float64
	weight   float64
}

// NewPool returns the answer of no series for a window.
func NewPool(start, end int64) *Pool {
	return &Pool{Aggregate: Aggregate{
		Start: start, End: end, Completeness: math.NaN(), Peak: math.NaN(), Interpolated: math.NaN(),
	}}
}

// Add adds the answer of a series, or of a part of the window of one: parts of
// one series come one after the other. Their completeness weighs by time, where
// it is known. The finality is that at knownAt, in Unix ns.
func (p *Pool) Add(m *catalog.Metric, series int64, a *Aggregate, knownAt int64) {
	if p.Members == 0 || p.member != series {
		p.Members, p.member, p.known = p.Members+1, series, false
	}
	if !p.known && (a.Stats.Count > 0 || a.Spanned()) {
		p.Contributing, p.known = p.Contributing+1, true
	}
	p.Stats.Add(&a.Stats)
	p.Expected += a.Expected
	if !math.IsNaN(a.Completeness) {
		span := float64(a.End - a.Start)
		p.complete += float64(a.Completeness * span)
		p.weight += span
		p.Completeness = p.complete / p.weight
	}
	if !math.IsNaN(a.Interpolated) {
		p.interpolate(a.Interpolated)
	}
	p.EdgeOpen = p.EdgeOpen || a.EdgeOpen
	p.Standing.Append(&a.Standing)
	p.Revision += a.Revision
	if a.Changed.After(p.Changed) {
		p.Changed = a.Changed
	}
	p.ClosesAt = max(p.ClosesAt, a.ClosesAt(m))
	switch f := a.Finality(m, knownAt); {
	case p.Finality == FinalityUnknown, f == Provisional, f == Restated && p.Finality == Final:
		p.Finality = f
	}
}
