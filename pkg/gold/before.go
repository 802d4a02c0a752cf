package gold

import (
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Flags that need the reading before are resolved where windows are read in
// order, and belong to the window of the later reading.

// Precede takes in what lies before the first window, in order: at least the
// last reading there and, where the metric has a stuck parameter, one at least
// so long before the first window if there is one.
func (a *Aggregator) Precede(p *Partial) { a.before.append(a.metric, p) }

// LooksBack returns how far before its first window an Aggregator has to know
// readings for flags; ok is false when it need not know any.
func LooksBack(m *catalog.Metric) (back time.Duration, ok bool) {
	return m.Stuck, m.Stuck > 0 || m.MaxGap > 0 && !m.Paired()
}

// link flags what the first readings of the open window are after those before
// it. Of metrics that are Paired the pair tells of gaps.
func (a *Aggregator) link() {
	if _, needed := LooksBack(a.metric); !needed {
		return
	}
	s, before := &a.current.Stats, &a.before
	if s.Count > 0 && before.Count > 0 {
		last := before.tail()
		gap := tooFar(a.metric, last.at, last.reach, s.FirstAt)
		if gap && !a.metric.Paired() {
			s.Gaps++
			s.Flags = s.Flags.With(reading.Gap)
		}
		if !gap && stuck(a.metric, &last, s) {
			s.Flags = s.Flags.With(reading.Stuck)
		}
	}
	a.Precede(s)
}

// stuck reports whether b goes on with the value before until it has not changed
// for too long.
func stuck(m *catalog.Metric, before *tail, b *Partial) bool {
	return m.Stuck > 0 && before.value == b.First && time.Duration(b.HeadUntil-before.since) >= m.Stuck
}

// FlagCount is a rule that flagged readings, and how many where that is known:
// 0 is not.
type FlagCount struct {
	Rule  reading.Rule
	Count uint64
}

// FlagCounts returns the flags by rule.
func (p *Partial) FlagCounts() (counts []FlagCount) {
	known := map[reading.Rule]uint64{
		reading.Gap: p.Gaps, reading.Jump: p.Jumps, reading.Overlap: p.Overlaps, reading.Spike: p.Spikes,
	}
	for rest := p.Flags; rest != 0; {
		rule, _ := rest.First()
		rest &^= reading.Rules(0).With(rule)
		counts = append(counts, FlagCount{rule, known[rule]})
	}
	return counts
}
