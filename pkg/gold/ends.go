package gold

import (
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
)

// Ends is what a fold of base rows of a metric that is Paired keeps of its first
// and its last row with readings: their base windows get shares of the pairs of
// readings that lie across the ends of the fold. With it a fold answers like its
// rows, bit for bit. Times are Unix ns.
type Ends struct {
	Start     int64 // of the first row
	LastStart int64 // of the last row, which may be the first
	End       int64 // of the last row
	// Head is the energy of the first row by itself, HeadShare what the pair behind
	// it adds to its base window if it is not the last row. Tail is the energy of
	// the last row with what the pair before adds, unless it is the first.
	Head, HeadShare, Tail float64
	// HeadCut and TailCut say that a row is a part of a base window: it has no peak.
	HeadCut, TailCut bool
	// HeadReceived and TailReceived are when the first versions of the rows were
	// received.
	HeadReceived, TailReceived int64
	// Interpolated is the advance of pairs further apart than max_gap, where
	// HasInterpolated.
	Interpolated    float64
	HasInterpolated bool
}

// endsOf returns the ends of a base row, or of a part of one.
func endsOf(m *catalog.Metric, start int64, width time.Duration, p *Partial) Ends {
	if p.Count == 0 {
		return Ends{}
	}
	cut := width != m.Window
	return Ends{
		Start: start, LastStart: start, End: start + int64(width), Head: ownEnergy(m, p), HeadCut: cut, TailCut: cut,
	}
}

// ownEnergy returns what the readings of a row add by themselves.
func ownEnergy(m *catalog.Metric, p *Partial) float64 {
	if m.Kind == catalog.Register {
		return p.Advance
	}
	return p.Energy
}

// received returns the ends with the times at which their rows were received, which
// a row has in its standing.
func (s *Summary) received() Ends {
	e := s.Ends
	if e.HeadReceived == 0 && e.single() {
		e.HeadReceived, e.TailReceived = s.Standing.FirstReceived, s.Standing.FirstReceived
	}
	return e
}

// single reports whether the first row is the last.
func (e *Ends) single() bool { return e.Start == e.LastStart }

// interpolate counts an interpolated advance.
func (e *Ends) interpolate(amount float64) {
	if e.HasInterpolated {
		amount += e.Interpolated
	}
	e.Interpolated, e.HasInterpolated = amount, true
}

// first returns the first reading, last the last one.
func (p *Partial) first() edge { return edge{p.FirstAt, p.First, p.FirstQuality} }
func (p *Partial) last() edge  { return edge{p.LastAt, p.Last, p.LastQuality} }

// join makes the ends and the peak those of s and a later span, and tells since
// when the first and the last reading are what they are.
func (s *Summary) join(m *catalog.Metric, later *Summary) {
	a, b := &s.Ends, later.received()
	switch {
	case later.Stats.Count == 0:
		if s.Stats.Count > 0 {
			s.Standing.LastSettled = max(s.Standing.LastSettled, later.Standing.Settled)
		}
		return
	case s.Stats.Count == 0:
		s.Standing.FirstSettled = max(s.Standing.Settled, later.Standing.FirstSettled)
		s.Standing.LastSettled = later.Standing.LastSettled
		*a = b
		return
	}
	s.Standing.LastSettled = later.Standing.LastSettled
	p := newPair(m, s.Stats.last(), later.Stats.first())
	power := func(start int64, energy float64) { s.considerPeak(start, energy/m.Window.Hours()) }
	if p.gap && p.adds() {
		a.interpolate(p.step.amount)
	}
	if b.HasInterpolated {
		a.interpolate(b.Interpolated)
	}
	peaks := m.PowerUnit != ""
	// The last base window so far is complete.
	share := p.between(a.LastStart, a.LastStart+int64(m.Window))
	if a.single() {
		a.HeadShare = share
	} else if peaks && !a.TailCut {
		power(a.LastStart, a.Tail+share)
	}
	if peaks {
		for _, start := range blankBases(m, &p, a.End, b.Start) {
			power(start, p.between(start, start+int64(m.Window)))
		}
	}
	// So is the next one, unless it is the last now.
	head := b.Head + p.between(b.Start, later.Stats.FirstAt)
	if b.single() {
		b.Tail = head
	} else if peaks && !b.HeadCut {
		power(b.Start, head+b.HeadShare)
	}
	a.LastStart, a.End, a.Tail, a.TailCut, a.TailReceived = b.LastStart, b.End, b.Tail, b.TailCut, b.TailReceived
}

// blankBases returns the starts of the first and the last whole base window
// between two readings in [from, to), where no row has readings. Power is monotone
// there, so that one of them has the greatest.
func blankBases(m *catalog.Metric, p *pair, from, to int64) []int64 {
	width := int64(m.Window)
	if width <= 0 || !p.adds() {
		return nil
	}
	first, last := WindowStart(from+width-1, m.Window), WindowStart(to, m.Window)-width
	if first > last {
		return nil
	}
	return []int64{first, last}
}
