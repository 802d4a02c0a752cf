package gold

import (
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
)

// folds is the hour and the day that an Aggregator's next rows may belong to.
type folds struct {
	hour, day  pending
	start, end int64 // of the window that was looked at last
}

// pending is an hour or a day that further rows may belong to.
type pending struct {
	Stored
	rows int
}

// add folds a span of the hour or the day that begins at start.
func (p *pending) add(m *catalog.Metric, start int64, width time.Duration, s *Summary) {
	p.Start, p.Width = start, width
	p.rows++
	p.Append(m, s)
}

// fold takes in a row, an hour or a day. A stored hour is the only row of its
// hour, and so is a stored day of its day.
func (a *Aggregator) fold(row *Stored) error {
	f := &a.folds
	if row.Emptied != 0 || row.Width >= DaySpan { // a neighbour of all windows, or a day
		if err := a.settle(); err != nil {
			return err
		}
		return a.pass(row)
	}
	day, hour := WindowStart(row.Start, DaySpan), WindowStart(row.Start, HourSpan)
	if f.hour.rows > 0 && f.hour.Start != hour {
		if err := a.settleHour(); err != nil {
			return err
		}
	}
	if f.day.rows > 0 && f.day.Start != day {
		if err := a.settleDay(); err != nil {
			return err
		}
	}
	if row.Width == HourSpan && a.metric.Window < HourSpan { // stored
		if a.inside(row.Start, day, DaySpan) {
			f.day.add(a.metric, day, DaySpan, &row.Summary)
			return nil
		}
		if err := a.settleDay(); err != nil {
			return err
		}
		return a.pass(row)
	}
	if a.inside(hour, hour, HourSpan) {
		f.hour.add(a.metric, hour, HourSpan, &row.Summary)
		return nil
	}
	if err := a.settle(); err != nil {
		return err
	}
	return a.pass(row)
}

// inside reports whether the window that holds t holds all of the span.
func (a *Aggregator) inside(t, start int64, span time.Duration) bool {
	f := &a.folds
	if t < f.start || t >= f.end {
		f.start, f.end = a.windows.Bounds(t)
	}
	return start >= f.start && start+int64(span) <= f.end
}

// settleHour folds the hour into its day, or passes it on where no window holds the
// day.
func (a *Aggregator) settleHour() error {
	f := &a.folds
	if f.hour.rows == 0 {
		return nil
	}
	hour := f.hour
	f.hour = pending{}
	day := WindowStart(hour.Start, DaySpan)
	if f.day.rows > 0 && f.day.Start != day {
		if err := a.settleDay(); err != nil {
			return err
		}
	}
	if a.inside(hour.Start, day, DaySpan) {
		f.day.add(a.metric, day, DaySpan, &hour.Summary)
		return nil
	}
	return a.pass(&hour.Stored)
}

// settleDay passes the day on.
func (a *Aggregator) settleDay() error {
	day := a.folds.day
	if day.rows == 0 {
		return nil
	}
	a.folds.day = pending{}
	return a.pass(&day.Stored)
}

// settle passes on the hour and the day.
func (a *Aggregator) settle() error {
	if err := a.settleHour(); err != nil {
		return err
	}
	return a.settleDay()
}

// pass takes what was folded as far as it can be into the answer.
func (a *Aggregator) pass(s *Stored) error {
	if a.edges != nil {
		return a.addPaired(s)
	}
	a.window.Append(a.metric, &s.Summary)
	return nil
}

// settleWindow moves what was folded of a metric that is not Paired into the window
// that is open.
func (a *Aggregator) settleWindow() error {
	if err := a.settle(); err != nil {
		return err
	}
	c, w := &a.current, &a.window
	c.Stats, c.Standing, c.Revision, c.Changed = w.Stats, w.Standing, w.Revision, w.Changed
	if w.HasPeak {
		c.Peak, c.PeakAt = w.Peak, w.PeakAt
	}
	if !a.metric.Interval() {
		a.pace = w.Pace
	}
	*w = Summary{}
	return nil
}
