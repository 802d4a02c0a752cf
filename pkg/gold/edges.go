package gold

import "time"

// edges is what an Aggregator keeps of a metric that is Paired. The open window
// is the one that holds the last reading: windows are emitted when the next
// reading tells their share, those between two readings one after the other.
type edges struct {
	begun bool  // there has been a reading
	last  edge  // the last one so far
	end   int64 // of the row that holds it
	// settled is since when the last reading, and that there is none behind it so
	// far, is as it is.
	settled int64
	// received is when the first version of the row that holds the last reading
	// was received.
	received int64
	base     base
	blank    []blank
}

// base is the base window of the last reading, for its peak.
type base struct {
	start  int64
	energy float64 // R up to the last reading − R(start)
	whole  bool    // an uncut row of an answered window
}

// blank is the rows without readings of a window behind the last reading. There
// are as many as withdrawals have emptied.
type blank struct {
	start    int64
	standing Standing
	revision int64
	changed  time.Time
}

// addPaired is Add for metrics that are Paired.
func (a *Aggregator) addPaired(row *Stored) error {
	e := a.edges
	if row.Stats.Count == 0 {
		e.settled = max(e.settled, row.Standing.Settled)
		a.addBlank(row)
		return nil
	}
	var p pair
	settled := max(e.settled, row.Emptied, row.Standing.FirstSettled)
	ends := row.received()
	if e.begun {
		p = newPair(a.metric, e.last, row.Stats.first())
	}
	a.endBase(&p)
	for a.current.End <= row.Start && a.current.Start < a.until {
		a.current.share(&p)
		a.current.settle(&p, settled)
		a.current.open(&p, min(e.received, ends.HeadReceived))
		a.peakBetween(&p, row.Ends.Start)
		if err := a.next(); err != nil {
			return err
		}
	}
	switch {
	case row.Start < a.current.Start:
		a.Precede(&row.Stats)
	case a.current.Start < a.until:
		a.peakBetween(&p, row.Ends.Start)
		a.takePaired(row, &p)
		a.current.settle(&p, settled)
	}
	e.begun, e.end, e.last = true, row.Ends.End, row.Stats.last()
	e.settled, e.received = max(row.Standing.LastSettled, row.Emptied), ends.TailReceived
	return nil
}

// settle makes the window settled no earlier than a pair that adds to it.
func (c *Aggregate) settle(p *pair, at int64) {
	if p.adds() && p.right.at > c.Start {
		c.Standing.Settled = max(c.Standing.Settled, at)
	}
}

// open makes a window without readings close no earlier than if a reading of the
// pair over it lay in it: before, nobody had an answer that could be restated.
func (c *Aggregate) open(p *pair, received int64) {
	if p.adds() && c.Standing.FirstReceived == 0 {
		c.Standing.FirstReceived = received
	}
}

// takePaired folds a row into the open window; p leads to its first reading.
func (a *Aggregator) takePaired(row *Stored, p *pair) {
	inside := a.current.Stats.Count > 0 // then Combine accounts for p
	a.take(row)
	switch {
	case !inside:
		a.current.share(p)
	case p.gap && p.adds():
		a.current.interpolate(p.step.amount)
	}
	b := &row.Ends
	if b.HasInterpolated {
		a.current.interpolate(b.Interpolated)
	}
	if a.metric.PowerUnit == "" {
		return
	}
	head := b.Head + p.between(b.Start, row.Stats.FirstAt)
	if b.single() {
		a.edges.base = base{b.Start, head, !b.HeadCut}
		return
	}
	if !b.HeadCut {
		a.peak(b.Start, head+b.HeadShare)
	}
	if row.HasPeak {
		a.current.considerPeak(row.PeakAt, row.Peak)
	}
	a.edges.base = base{b.LastStart, b.Tail, !b.TailCut}
}

// endBase closes the base window of the last reading with its share of p.
func (a *Aggregator) endBase(p *pair) {
	if b := a.edges.base; b.whole {
		a.peak(b.start, b.energy+p.between(b.start, b.start+int64(a.metric.Window)))
	}
	a.edges.base = base{}
}

// peakBetween considers the whole base windows of the open window that lie
// between the readings of p and have none: rows end at the last reading's and
// go on at next. Power is monotone there, so that the first and the last do.
func (a *Aggregator) peakBetween(p *pair, next int64) {
	if a.metric.PowerUnit == "" {
		return
	}
	for _, start := range blankBases(a.metric, p, max(a.current.Start, a.edges.end), min(a.current.End, next)) {
		a.peak(start, p.between(start, start+int64(a.metric.Window)))
	}
}

// peak considers a base window of that energy.
func (a *Aggregator) peak(start int64, energy float64) {
	a.current.considerPeak(start, energy/a.metric.Window.Hours())
}

// considerPeak takes in the mean power of a base window. Of equal ones the first
// counts.
func (c *Aggregate) considerPeak(start int64, power float64) {
	if !(power <= c.Peak) {
		c.Peak, c.PeakAt = power, start
	}
}

// addBlank keeps the bookkeeping of a row without readings for its window.
func (a *Aggregator) addBlank(row *Stored) {
	switch start, _ := a.windows.Bounds(row.Start); {
	case start < a.current.Start || start >= a.until:
	case start == a.current.Start:
		a.take(row)
	default:
		e := a.edges
		if n := len(e.blank); n == 0 || e.blank[n-1].start != start {
			e.blank = append(e.blank, blank{start: start})
		}
		b := &e.blank[len(e.blank)-1]
		b.standing.Append(&row.Standing)
		b.revision += row.Revision
		if row.Changed.After(b.changed) {
			b.changed = row.Changed
		}
	}
}

// recall gives the window that was just opened its rows without readings.
func (a *Aggregator) recall() {
	e := a.edges
	if len(e.blank) > 0 && e.blank[0].start == a.current.Start {
		b := &e.blank[0]
		a.current.Standing, a.current.Revision, a.current.Changed = b.standing, b.revision, b.changed
		e.blank = e.blank[1:]
	}
}
