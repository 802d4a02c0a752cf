package fleet

import (
	"iter"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// Span is what a row's window is.
type Span uint8

// The spans.
const (
	Fixed Span = iota // Config.Window, counted from the Unix epoch
	Day               // local, of the entity's zone
)

// Row is the true answer for one series and window. Windows in which no reading
// counts and of which no time is accounted for have none. Values are
// in the series' unit and energies in its energy unit. Sum, Min and Max are the
// float64 nearest to the exact number, Energy is within two units in the last
// place of it.
type Row struct {
	Series     int // index in Fleet.Series
	Span       Span
	Start, End int64  // Unix ns
	Count      uint64 // 0: Sum, Min and Max are so too
	Estimated  uint64 // of Count
	Corrected  uint64 // of Count
	Resets     uint64 // falls of a register that are declared: rollovers and resets to zero
	Exchanges  uint64 // other falls, and steps beyond the greatest rate; they count 0
	Sum        float64
	Min, Max   float64
	Energy     float64 // 0 when the series has none
}

// Rows yields the rows of every span, series by series, and within a series and
// span in the order of time.
func (f *Fleet) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for i := range f.series {
			if !f.rows(i, yield) {
				return
			}
		}
	}
}

// rows yields the rows of a series; false means that it was to stop.
func (f *Fleet) rows(index int, yield func(Row) bool) bool {
	w := f.walker(index)
	width := f.config.Window.Milliseconds()
	fixed := ledger{s: w.s, index: index, span: Fixed, bounds: func(ms int64) (start, end int64) {
		start = ms - ms%width
		return start, start + width
	}}
	day := ledger{s: w.s, index: index, span: Day, bounds: func(ms int64) (start, end int64) {
		return localDay(ms, w.s.Entity.location)
	}}
	var last pair
	for w.more() {
		t := w.next()
		if t.fate != counts {
			continue
		}
		p := f.newPair(w.s, &last.right, &t)
		if !fixed.add(&p, yield) || !day.add(&p, yield) {
			return false
		}
		last = p
	}
	end := f.newPair(w.s, &last.right, &taken{time: last.right.time})
	return fixed.finish(&end, yield) && day.finish(&end, yield)
}

// localDay returns the local day that holds a time, Unix ms. Days begin at the
// first quarter-hour of their date, which is midnight where clocks do not skip
// it.
func localDay(ms int64, zone *time.Location) (start, end int64) {
	at := time.UnixMilli(ms).In(zone)
	y, m, d := at.Date()
	return dayStart(time.Date(y, m, d, 0, 0, 0, 0, zone)), dayStart(time.Date(y, m, d+1, 0, 0, 0, 0, zone))
}

// dayStart returns the first quarter-hour with the date of noon after about.
func dayStart(about time.Time) int64 {
	const step, reach = 15 * time.Minute, 4 * time.Hour
	y, m, d := about.Add(3 * reach).Date()
	at := about.Add(-reach)
	for {
		ay, am, ad := at.Date()
		if ay == y && am == m && ad == d {
			return at.UnixMilli()
		}
		at = at.Add(step)
	}
}

// ledger sums up the readings of a series by window, as they come.
type ledger struct {
	s      *Series
	index  int
	span   Span
	bounds func(ms int64) (start, end int64)

	window
}

// window is the sums of one window. The zero window holds no time.
type window struct {
	start, end int64 // Unix ms
	spanned    bool  // by time that is accounted for

	count, estimated, corrected, resets, exchanges uint64
	sum, least, most                               int64 // thousandths
	energy                                         exact // in energyScale
}

// add adds the later reading of a pair and what lies between: to the window of
// the earlier reading, to those in between, and to that of the later one.
func (l *ledger) add(p *pair, yield func(Row) bool) bool {
	for p.right.time >= l.end {
		next := p.right.time
		if l.end > 0 && l.end < p.end {
			next = l.end
		}
		if !l.next(p, next, yield) {
			return false
		}
	}
	l.share(p)
	l.take(p)
	return true
}

// finish adds what the last reading covers.
func (l *ledger) finish(p *pair, yield func(Row) bool) bool {
	for l.end > 0 && l.end < p.end {
		if !l.next(p, l.end, yield) {
			return false
		}
	}
	l.share(p)
	return l.close(yield)
}

// next closes the window with its share of the pair and opens that of a time.
func (l *ledger) next(p *pair, ms int64, yield func(Row) bool) bool {
	l.share(p)
	if !l.close(yield) {
		return false
	}
	l.window = window{}
	l.start, l.end = l.bounds(ms)
	return true
}

// share adds what the pair tells of the window.
func (w *window) share(p *pair) {
	if from, to := max(w.start, p.left.time), min(w.end, p.end); from < to {
		w.energy.add(p.until(to))
		w.energy.subtract(p.until(from))
		w.spanned = true
	}
}

// take adds the later reading of a pair.
func (l *ledger) take(p *pair) {
	v := p.right.value
	if l.count == 0 || v < l.least {
		l.least = v
	}
	if l.count == 0 || v > l.most {
		l.most = v
	}
	l.sum += v
	l.count++
	l.resets += p.reset
	l.exchanges += p.exchange
	switch p.right.quality {
	case reading.Estimated:
		l.estimated++
	case reading.Corrected:
		l.corrected++
	default:
	}
}

// energyScale is how many units of window.energy make one of the energy unit.
func (s *Series) energyScale() float64 {
	switch s.Kind {
	case Mean:
		return 1000 * hourMillis
	case Linear:
		return 2 * 1000 * hourMillis // twice the area of the trapezoids
	default:
		return 1000
	}
}

// close yields the row of a window of which something is known.
func (l *ledger) close(yield func(Row) bool) bool {
	if l.count == 0 && !l.spanned {
		return true
	}
	const ms = int64(time.Millisecond)
	return yield(Row{
		Series: l.index, Span: l.span, Start: l.start * ms, End: l.end * ms,
		Count: l.count, Estimated: l.estimated, Corrected: l.corrected, Resets: l.resets, Exchanges: l.exchanges,
		Sum: float64(l.sum) / 1000, Min: float64(l.least) / 1000, Max: float64(l.most) / 1000,
		Energy: l.energy.float() / l.s.energyScale(),
	})
}
