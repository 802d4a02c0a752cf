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
	QuarterHour Span = iota // of UTC
	Day                     // local, of the entity's zone
)

// Row is the true answer for one series and window. Windows without a reading
// that counts have none. Values are in the series' unit and energies in its
// energy unit, each the float64 nearest to the exact number.
type Row struct {
	Series     int // index in Fleet.Series
	Span       Span
	Start, End int64 // Unix ns
	Count      uint64
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
	resetToZero, declared := f.config.Registers.ResetToZero, f.config.Registers.Rollover > 0
	ledger := func(span Span) window {
		return window{s: w.s, index: index, span: span, resetToZero: resetToZero, rollover: declared}
	}
	quarter, day := ledger(QuarterHour), ledger(Day)
	for w.more() {
		t := w.next()
		if t.fate != counts {
			continue
		}
		if t.time >= quarter.end {
			if !quarter.close(yield) {
				return false
			}
			quarter.open(quarterHour(t.time))
		}
		if t.time >= day.end {
			if !day.close(yield) {
				return false
			}
			day.open(localDay(t.time, w.s.Entity.location))
		}
		quarter.add(&t)
		day.add(&t)
	}
	return quarter.close(yield) && day.close(yield)
}

// quarterHour returns the quarter-hour that holds a time, Unix ms.
func quarterHour(ms int64) (start, end int64) {
	const quarter = 15 * minuteMillis
	start = ms - ms%quarter
	return start, start + quarter
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

// window sums up the readings of a window as they come.
type window struct {
	s                     *Series
	index                 int
	span                  Span
	resetToZero, rollover bool
	start, end            int64 // Unix ms

	count, estimated, corrected, resets, exchanges uint64
	sum, least, most                               int64 // thousandths
	energy                                         int64 // in energyScale
	lastTime, lastValue                            int64
}

// open begins a window.
func (w *window) open(start, end int64) {
	*w = window{
		s: w.s, index: w.index, span: w.span, resetToZero: w.resetToZero, rollover: w.rollover,
		start: start, end: end,
	}
}

// maxGap is how far the readings of a linear gauge may be apart, ms.
const maxGap = hourMillis

// add adds the next reading.
func (w *window) add(t *taken) {
	v := t.value
	switch w.s.Kind {
	case Interval:
		w.energy += v
	case Mean:
		w.energy += v * w.s.Length.Milliseconds()
	case Linear:
		if apart := t.time - w.lastTime; w.count > 0 && apart <= maxGap {
			w.energy += (w.lastValue + v) * apart
		}
	case Register:
		if w.count > 0 {
			w.step(v, t.time-w.lastTime)
		}
	default:
	}
	if w.count == 0 || v < w.least {
		w.least = v
	}
	if w.count == 0 || v > w.most {
		w.most = v
	}
	w.sum += v
	w.count++
	switch t.quality {
	case reading.Estimated:
		w.estimated++
	case reading.Corrected:
		w.corrected++
	default:
	}
	w.lastTime, w.lastValue = t.time, v
}

// step counts what a register advanced to v in apart ms.
func (w *window) step(v, apart int64) {
	possible := func(amount int64) bool { return amount*hourMillis <= w.s.maxRate*1000*apart }
	d := v - w.lastValue
	round := d + w.s.modulus
	switch {
	case d >= 0 && possible(d):
		w.energy += d
	case w.rollover && d < 0 && round >= 0 && possible(round) && 2*round <= w.s.modulus:
		w.energy += round
		w.resets++
	case w.resetToZero && d < 0 && possible(v):
		w.energy += v
		w.resets++
	default:
		w.exchanges++
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

// close yields the row of a window in which something counts.
func (w *window) close(yield func(Row) bool) bool {
	if w.count == 0 {
		return true
	}
	const ms = int64(time.Millisecond)
	return yield(Row{
		Series: w.index, Span: w.span, Start: w.start * ms, End: w.end * ms,
		Count: w.count, Estimated: w.estimated, Corrected: w.corrected, Resets: w.resets, Exchanges: w.exchanges,
		Sum: float64(w.sum) / 1000, Min: float64(w.least) / 1000, Max: float64(w.most) / 1000,
		Energy: float64(w.energy) / w.s.energyScale(),
	})
}
