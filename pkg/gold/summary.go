package gold

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
)

// Summary is what an answer says of a span: statistics of its winners, what
// base rows alone know of them, and the bookkeeping of its rows. The zero
// Summary is that of a span without rows.
type Summary struct {
	Stats    Partial
	Standing Standing
	// Peak is the greatest mean power of a whole base window, in the metric's
	// power unit, and PeakAt its start, the earliest of equals. HasPeak is false
	// when nothing has a mean power. Of metrics that are Paired it is that of the
	// base windows behind the first one with readings and before the last: those
	// at the ends wait for their neighbours, see Ends.
	Peak    float64
	PeakAt  int64 // Unix ns
	HasPeak bool
	// Ends is of metrics that are Paired, zero where there are no readings.
	Ends Ends
	// Pace is what completeness takes beside statistics. Of metrics whose readings
	// cover spans it is the mean length of a reading in the last row that has any,
	// which is their cadence where none is declared. Of others it is the time that
	// readings stand for, each for the declared cadence: of a row no more than are
	// due in it, so that no burst makes up for a silence.
	Pace     time.Duration
	Revision int64     // sum over the rows
	Changed  time.Time // latest of the rows; zero when unknown
}

// Summarize returns the summary of a base row, or a part of one, but for its
// standing, its bookkeeping and what earlier readings that cover spans give to it.
func Summarize(m *catalog.Metric, start int64, width time.Duration, p Partial) Summary {
	s := Summary{Stats: p}
	if m.Paired() {
		s.Ends = endsOf(m, start, width, &p)
	}
	switch {
	case !m.Interval():
		s.Pace = time.Duration(min(p.Count, due(m, width))) * m.Cadence
	case p.Count > 0:
		behind := time.Duration(max(0, p.Reach-(start+int64(width)))) // what the last readings cover there
		s.Pace = (p.Covered + behind) / time.Duration(p.Count)
	}
	if s.Peak, s.HasPeak = meanPower(m, width, &p); s.HasPeak {
		s.PeakAt = start
	}
	return s
}

// due returns the most readings at the declared cadence that a row can have.
func due(m *catalog.Metric, width time.Duration) uint64 {
	if m.Cadence == 0 {
		return 0
	}
	return uint64((width + m.Cadence - 1) / m.Cadence)
}

// setPeak finds the peak of a base window anew.
func (s *Stored) setPeak(m *catalog.Metric) {
	if s.Peak, s.HasPeak = meanPower(m, s.Width, &s.Stats); s.HasPeak {
		s.PeakAt = s.Start
	}
}

// meanPower returns the mean power of a whole base window: its energy over its
// width. Readings that are missing count as nothing, so that a window of which
// one minute was received cannot be a peak by itself. Of metrics that are Paired
// a row does not tell its energy without its neighbours.
func meanPower(m *catalog.Metric, width time.Duration, p *Partial) (power float64, ok bool) {
	if m.PowerUnit == "" || p.Count == 0 && p.Covered == 0 || width != m.Window || m.Paired() {
		return 0, false
	}
	power = p.Energy / (float64(width) / nanosPerHour)
	if math.IsNaN(power) { // of infinite parts: no number is the greatest of it
		return 0, false
	}
	return power, true
}

// Append adds the summary of a later span.
func (s *Summary) Append(m *catalog.Metric, later *Summary) {
	switch {
	case !m.Interval():
		s.Pace += later.Pace
	case later.Stats.Count > 0:
		s.Pace = later.Pace
	}
	if m.Paired() {
		s.join(m, later)
	}
	s.Stats.append(m, &later.Stats)
	if later.HasPeak {
		s.considerPeak(later.PeakAt, later.Peak)
	}
	s.Standing.Append(&later.Standing)
	s.Revision += later.Revision
	if later.Changed.After(s.Changed) {
		s.Changed = later.Changed
	}
}

// considerPeak takes in the mean power of a base window. Of equal ones the first
// counts.
func (s *Summary) considerPeak(at int64, power float64) {
	if !s.HasPeak || !(power <= s.Peak) {
		s.Peak, s.PeakAt, s.HasPeak = power, at, true
	}
}

// The spans that base rows are folded over, in UTC: rows into hours, hours into
// days. No base row lies across an hour's end.
const (
	HourSpan = time.Hour
	DaySpan  = 24 * time.Hour
)

// Parents folds the base rows of one UTC day, in order of start and width, into
// its hours, and these into the day. An hour without rows is left out. It is
// how an Aggregator folds the same rows, so that an answer has equal bits from
// parents and from base rows.
func Parents(m *catalog.Metric, rows []Stored) (hours []Stored, day Stored) {
	for i := range rows {
		start := WindowStart(rows[i].Start, HourSpan)
		if n := len(hours); n == 0 || hours[n-1].Start != start {
			hours = append(hours, Stored{Start: start, Width: HourSpan})
		}
		hours[len(hours)-1].Append(m, &rows[i].Summary)
	}
	day.Width = DaySpan
	for i := range hours {
		day.Start = WindowStart(hours[i].Start, DaySpan)
		day.Append(m, &hours[i].Summary)
	}
	return hours, day
}

// FoldKey names the parameters of a metric that a fold of base rows follows. A
// stored fold is of use only under the key that it was made under.
func FoldKey(m *catalog.Metric) int64 {
	b := []byte{5, foldFormat, byte(m.Kind), byte(m.Integrate), 0} // the first counts changes of the fold itself
	if m.ResetToZero {
		b[4] = 1
	}
	for _, x := range [...]float64{m.MaxRate, m.Rollover, m.DipTol} {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(x))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(m.MaxGap))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Stuck))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(m.Spike))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Window)) // a peak is that of a whole one
	if !m.Interval() {
		b = binary.BigEndian.AppendUint64(b, uint64(m.Cadence))
	}
	for _, unit := range [...]string{m.EnergyUnit, m.PowerUnit} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(unit))), unit...)
	}
	h := fnv.New64a()
	h.Write(b)
	return int64(h.Sum64())
}
