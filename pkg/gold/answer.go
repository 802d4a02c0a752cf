package gold

import (
	"fmt"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
)

// Stored is a stored fold as an answer needs it: a base row without its
// versions, or an hour or a day of base rows.
type Stored struct {
	Start int64
	Width time.Duration
	Summary
	// Emptied is, of the nearest row with readings beside the answered windows,
	// the latest Settled of the rows without readings between it and them.
	Emptied int64
}

// End returns the end of the row in Unix ns.
func (s *Stored) End() int64 { return s.Start + int64(s.Width) }

// Aggregate is the answer for one window.
type Aggregate struct {
	Start, End int64 // Unix ns
	Stats      Partial
	Expected   uint64 // 0 when the cadence is unknown
	// Completeness is the share of the window that was received, from 0 to 1: of
	// readings that cover spans the time that they cover; of others the readings
	// received of those expected, where a base window adds no more than are due in
	// it. NaN when the cadence is unknown, and of others when none is expected.
	Completeness float64
	// Peak is the greatest mean power of a whole base window, in the metric's
	// power unit, and PeakAt its start; NaN when the metric has no energy or
	// nothing was received. Of metrics that are Paired it is a base window's
	// R(end) − R(start), one between two readings included.
	Peak   float64
	PeakAt int64
	// Interpolated is the part of a register's advance that comes from pairs
	// of readings further apart than max_gap, in the metric's energy unit; NaN
	// when no such pair lies over the window. Pairs inside one base row, which
	// takes a max_gap below the base window, count as measured.
	Interpolated float64
	// EdgeOpen says that the window ends after the series' last reading: the
	// next one will account for the time up to it. Always false for metrics
	// that are not Paired.
	EdgeOpen bool
	// Standing is that of the window's winners. Of metrics that are Paired it is
	// settled no earlier than the pairs of readings that add to the window over
	// its edges.
	Standing Standing
	Revision int64 // sum over the window's rows, not over its neighbours
	Changed  time.Time
}

// Spanned reports whether consumption of the window is known: a pair of
// readings that adds lies over it. This can be so without a reading in it.
func (c *Aggregate) Spanned() bool { return c.Stats.Covered > 0 || !math.IsNaN(c.Interpolated) }

// Aggregator folds the rows of one series, in order, into the windows of an
// answer. Every window from the first row's to the last one asked for is
// answered, those without readings too.
//
// Of metrics that are Paired a window also gets its share of the pairs of
// readings that lie across its edges: its consumption is R(end) − R(start) (invariant 10).
// For this, Add the last row with readings before the first window, before any
// other, and the first one after the last window, after any other.
//
// A window is the left fold of the UTC days that lie inside
// it, of the hours that do so outside these days, and of the base rows that are
// left, all in time order; a day is the fold of its hours, an hour that of its
// base rows. Whether an hour or a day comes stored or as its rows, the bits are
// the same (invariant 13).
type Aggregator struct {
	metric  *catalog.Metric
	windows Windows
	until   int64
	emit    func(Aggregate) error
	current Aggregate
	open    bool
	cadence time.Duration
	pace    time.Duration // of the rows of the open window, when readings cover no spans
	history catalog.History
	edges   *edges // nil when the metric is not Paired
	folds   folds
	window  Summary // the open one, when the metric is not Paired
	before  Partial // of all before the open window, as far as flags need it
}

// NewAggregator returns an aggregator that calls emit for each window in time
// order. Windows that start at until (Unix ns) or later are not answered.
func NewAggregator(m *catalog.Metric, w Windows, until int64, emit func(Aggregate) error) *Aggregator {
	a := &Aggregator{metric: m, windows: w, until: until, emit: emit, cadence: m.Cadence}
	if m.Paired() {
		a.edges = new(edges)
	}
	return a
}

// SetHistory tells when the epochs came into force that versions given to AddCut
// were judged under.
func (a *Aggregator) SetHistory(h catalog.History) { a.history = h }

// Begin opens the window that holds t, so that windows before the first row are
// answered too.
func (a *Aggregator) Begin(t int64) {
	start, end := a.windows.Bounds(t)
	a.current = Aggregate{Start: start, End: end, Peak: math.NaN(), Interpolated: math.NaN()}
	a.open = true
}

// Expect takes the distance of readings that cover spans from a row, or a fold of
// rows, for the windows that it lies in and those that come before any row.
func (a *Aggregator) Expect(s *Summary) {
	if a.metric.Cadence == 0 && a.metric.Interval() && s.Stats.Count > 0 {
		a.cadence = s.Pace
	}
}

// Add takes in a row that lies inside one window, or, of metrics that are not
// Paired, an hour or a day that does so. Rows outside the windows that are
// answered are neighbours of those inside.
func (a *Aggregator) Add(row *Stored) error {
	if !a.open {
		a.Begin(row.Start)
	}
	if a.edges != nil {
		return a.fold(row)
	}
	for a.current.End <= row.Start && a.current.Start < a.until {
		if err := a.next(); err != nil {
			return err
		}
	}
	if row.Start >= a.current.Start && a.current.Start < a.until {
		a.Expect(&row.Summary)
		return a.fold(row)
	}
	return nil
}

// AddCut takes in a row that lies across a window's boundary, by its versions.
func (a *Aggregator) AddCut(row *Stored, versions []Version) error {
	winners := RowWinners(a.metric, versions)
	for part := *row; part.Start < row.End(); part.Start = part.End() {
		_, end := a.windows.Bounds(part.Start)
		end = min(end, row.End())
		part.Width = time.Duration(end - part.Start)
		n := 0
		for n < len(winners) && winners[n].Time < end {
			n++
		}
		v := countBefore(versions, end)
		part.Summary = Summarize(a.metric, part.Start, part.Width, Fold(a.metric, winners[:n], end))
		part.Standing = Stand(a.history, versions[:v])
		part.Revision, part.Changed = row.Revision, row.Changed
		winners, versions = winners[n:], versions[v:]
		part.Ends.HeadReceived, part.Ends.TailReceived = row.Standing.FirstReceived, row.Standing.FirstReceived
		if err := a.Add(&part); err != nil {
			return err
		}
	}
	return nil
}

// take adds what a row, an hour or a day of a metric that is Paired has to the open
// window, but for its peak.
func (a *Aggregator) take(row *Stored) {
	if !a.metric.Interval() {
		a.pace += row.Pace
	}
	c := &a.current
	c.Stats.append(a.metric, &row.Stats)
	c.Standing.Append(&row.Standing)
	c.Revision += row.Revision
	if row.Changed.After(c.Changed) {
		c.Changed = row.Changed
	}
}

// Finish emits the windows that are left.
func (a *Aggregator) Finish() error {
	if a.edges != nil {
		if err := a.settle(); err != nil {
			return err
		}
		a.endBase(&pair{})
	}
	for a.open && a.current.Start < a.until {
		a.current.EdgeOpen = a.edges != nil && a.edges.begun
		if err := a.next(); err != nil {
			return err
		}
	}
	return nil
}

// next emits the open window and opens the one after it.
func (a *Aggregator) next() error {
	if a.edges == nil {
		if err := a.settleWindow(); err != nil {
			return err
		}
	}
	a.link()
	a.complete()
	c := &a.current
	if err := a.emit(*c); err != nil {
		return err
	}
	before := c.Start
	if a.Begin(c.End); a.current.Start <= before {
		return fmt.Errorf("the window after %d overflows: %w", before, ErrWindow)
	}
	if a.edges != nil {
		a.recall()
	}
	return nil
}

// complete says how complete the open window is.
func (a *Aggregator) complete() {
	c := &a.current
	span, received, pace := time.Duration(c.End-c.Start), math.NaN(), a.pace
	a.pace = 0
	if a.cadence > 0 {
		c.Expected = uint64(span / a.cadence)
		switch {
		case a.metric.Interval():
			received = float64(c.Stats.Covered) / float64(span)
		case c.Expected > 0:
			received = float64(pace/a.cadence) / float64(c.Expected)
		}
	}
	c.Completeness = math.Min(received, 1)
}
