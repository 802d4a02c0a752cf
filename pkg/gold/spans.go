package gold

import (
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
)

// spans is what an Aggregator keeps of the open window of a metric that is not
// Paired.
type spans struct {
	window    Summary // without what hour and day hold
	hour, day pending
}

// pending is an hour or a day that further rows may belong to.
type pending struct {
	start int64
	rows  int
	Summary
}

// add folds a span of the hour or the day that begins at start.
func (p *pending) add(m *catalog.Metric, start int64, s *Summary) {
	p.start = start
	p.rows++
	p.Append(m, s)
}

// fold takes a row, an hour or a day into the open window. A stored hour is the
// only row of its hour, and so is a stored day of its day.
func (a *Aggregator) fold(row *Stored) {
	s := &a.spans
	day := WindowStart(row.Start, DaySpan)
	if row.Width >= DaySpan {
		a.settle()
		s.day.add(a.metric, day, &row.Summary)
		return
	}
	hour := WindowStart(row.Start, HourSpan)
	if s.hour.rows > 0 && s.hour.start != hour {
		a.settleHour()
	}
	if s.day.rows > 0 && s.day.start != day {
		a.settleDay()
	}
	if a.inside(hour, HourSpan) {
		s.hour.add(a.metric, hour, &row.Summary)
		return
	}
	a.settle()
	s.window.Append(a.metric, &row.Summary)
}

// inside reports whether the span lies inside the open window.
func (a *Aggregator) inside(start int64, span time.Duration) bool {
	return start >= a.current.Start && start+int64(span) <= a.current.End
}

// settleHour moves the hour into its day, or into the window where the window
// holds only a part of the day.
func (a *Aggregator) settleHour() {
	s := &a.spans
	if s.hour.rows == 0 {
		return
	}
	day := WindowStart(s.hour.start, DaySpan)
	if s.day.rows > 0 && s.day.start != day {
		a.settleDay()
	}
	if a.inside(day, DaySpan) {
		s.day.add(a.metric, day, &s.hour.Summary)
	} else {
		s.window.Append(a.metric, &s.hour.Summary)
	}
	s.hour = pending{}
}

// settleDay moves the day into the window.
func (a *Aggregator) settleDay() {
	if s := &a.spans; s.day.rows > 0 {
		s.window.Append(a.metric, &s.day.Summary)
	}
	a.spans.day = pending{}
}

// settle moves the hour and the day into the window.
func (a *Aggregator) settle() {
	a.settleHour()
	a.settleDay()
}

// settleWindow moves what was folded into the window that is open.
func (a *Aggregator) settleWindow() {
	if a.edges != nil {
		return
	}
	a.settle()
	c, w := &a.current, &a.spans.window
	c.Stats, c.Standing, c.Revision, c.Changed = w.Stats, w.Standing, w.Revision, w.Changed
	if w.HasPeak {
		c.Peak, c.PeakAt = w.Peak, w.PeakAt
	}
	*w = Summary{}
}
