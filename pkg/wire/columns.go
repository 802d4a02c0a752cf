// Package wire turns readings and judgements into the protobuf columns that
// travel between services, and back. It is the only place that knows both the
// domain and the contracts.
//
// Encoders are filled row by row and emptied by Marshal; they may be used again
// and keep their buffers. Decoding checks that all columns agree, so that rows
// read from a decoded batch need no checks; bytes that no encoder produced give
// ErrMalformed.
package wire

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// ErrMalformed is returned for a message that no encoder produced. Sending it
// again does not help.
var ErrMalformed = errors.New("malformed batch")

// bytesPerRow bounds what one row adds to a message, its dictionary entry
// aside: index, time, value, index in the source message and run overheads.
const bytesPerRow = 48

// bytesPerExchange bounds what the exchange of a row adds to a message.
const bytesPerExchange = 24

// bytesPerWaiver bounds what a waiver adds to a message besides its texts.
const bytesPerWaiver = 48

// columns gathers what bronze and silver batches have in common.
type columns struct {
	keys     map[reading.Series]uint32
	names    []reading.Series // by place
	series   []*energyv1.SeriesKey
	next     uint32 // where the next row's series is looked for first
	index    []uint32
	times    []int64
	values   []float64
	quality  runs
	revision runs
	length   runs
	exchange energyv1.Exchanges
	stamps   stampColumn
	lastTime int64
	size     int
}

func (c *columns) add(s reading.Series, r *reading.Reading, stamp reading.Stamp) {
	c.index = append(c.index, c.place(s))
	c.times = append(c.times, r.Time-c.lastTime)
	c.lastTime = r.Time
	c.values = append(c.values, r.Value)
	c.quality.add(uint64(r.Quality))
	c.revision.add(r.Revision)
	c.length.add(uint64(r.Length))
	c.stamps.add(stamp)
	c.size += bytesPerRow
	if r.Exchange {
		c.exchange.Row = append(c.exchange.Row, uint32(len(c.index)-1))
		c.exchange.Start = append(c.exchange.Start, r.ExchangeStart)
		c.size += bytesPerExchange
	}
}

// place returns the place of a series in the dictionary. Rows mostly come series after
// series in the same order, round by round.
func (c *columns) place(s reading.Series) uint32 {
	if int(c.next) >= len(c.names) {
		c.next = 0
	}
	if len(c.names) > 0 && c.names[c.next] == s {
		c.next++
		return c.next - 1
	}
	i, ok := c.keys[s]
	if !ok {
		if c.keys == nil {
			c.keys = make(map[reading.Series]uint32)
		}
		i = uint32(len(c.names))
		c.keys[s] = i
		c.names = append(c.names, s)
		c.addKey(s)
		c.size += len(s.EntityID) + len(s.Metric) + len(s.Unit) + 16
	}
	c.next = i + 1
	return i
}

// addKey appends to the dictionary, into the place of an earlier batch's key.
func (c *columns) addKey(s reading.Series) {
	if n := len(c.series); n < cap(c.series) {
		if c.series = c.series[:n+1]; c.series[n] != nil {
			c.series[n].EntityId, c.series[n].Metric, c.series[n].Unit = s.EntityID, s.Metric, s.Unit
			return
		}
		c.series[n] = SeriesKey(s)
		return
	}
	c.series = append(c.series, SeriesKey(s))
}

func (c *columns) reset() {
	clear(c.keys)
	clear(c.names)
	*c = columns{
		keys: c.keys, names: c.names[:0],
		series: c.series[:0], index: c.index[:0], times: c.times[:0], values: c.values[:0],
		quality: c.quality.emptied(), revision: c.revision.emptied(), length: c.length.emptied(),
		stamps:   c.stamps.emptied(),
		exchange: energyv1.Exchanges{Row: c.exchange.Row[:0], Start: c.exchange.Start[:0]},
	}
}

// exchanges returns the column of exchanges, nil when there are none.
func (c *columns) exchanges() *energyv1.Exchanges {
	if len(c.exchange.Row) == 0 {
		return nil
	}
	return &c.exchange
}

// SeriesKey returns the key that names a series.
func SeriesKey(s reading.Series) *energyv1.SeriesKey {
	return &energyv1.SeriesKey{EntityId: s.EntityID, Metric: s.Metric, Unit: s.Unit}
}

// SeriesOf returns the series that a key names.
func SeriesOf(k *energyv1.SeriesKey) reading.Series {
	return reading.Series{EntityID: k.GetEntityId(), Metric: k.GetMetric(), Unit: k.GetUnit()}
}

// runs builds a run-length column. Zero rows at the start are held back, so
// that a column of zeros has no runs.
type runs struct {
	value  []uint64
	length []uint32
	zeros  uint32
}

func (r *runs) add(v uint64) {
	last := len(r.value) - 1
	switch {
	case last < 0 && v == 0:
		r.zeros++
		return
	case last < 0 && r.zeros > 0:
		r.value, r.length = append(r.value, 0), append(r.length, r.zeros)
		r.zeros, last = 0, 0
	}
	if last >= 0 && r.value[last] == v {
		r.length[last]++
		return
	}
	r.value, r.length = append(r.value, v), append(r.length, 1)
}

func (r *runs) proto() *energyv1.Runs {
	if len(r.value) == 0 {
		return nil
	}
	return &energyv1.Runs{Value: r.value, Length: r.length}
}

func (r *runs) emptied() runs { return runs{value: r.value[:0], length: r.length[:0]} }

// stampColumn builds the column of stamps.
type stampColumn struct {
	columns energyv1.Stamps
	last    reading.Stamp
}

func (s *stampColumn) add(stamp reading.Stamp) {
	c := &s.columns
	n := len(c.Rows)
	if n > 0 && stamp.Sequence == s.last.Sequence && stamp.Stream == s.last.Stream &&
		stamp.Received == s.last.Received {
		c.Rows[n-1]++
		c.IndexDelta = append(c.IndexDelta, int32(stamp.Index-s.last.Index))
		s.last = stamp
		return
	}
	c.ReceivedDeltaNs = append(c.ReceivedDeltaNs, stamp.Received-s.last.Received)
	c.Stream = append(c.Stream, stamp.Stream)
	c.SequenceDelta = append(c.SequenceDelta, int64(stamp.Sequence-s.last.Sequence))
	c.Rows = append(c.Rows, 1)
	c.IndexDelta = append(c.IndexDelta, int32(stamp.Index))
	s.last = stamp
}

func (s *stampColumn) emptied() stampColumn {
	c := &s.columns
	return stampColumn{columns: energyv1.Stamps{
		ReceivedDeltaNs: c.ReceivedDeltaNs[:0], Stream: c.Stream[:0],
		SequenceDelta: c.SequenceDelta[:0], Rows: c.Rows[:0], IndexDelta: c.IndexDelta[:0],
	}}
}

// cursor reads a run-length column row by row.
type cursor struct {
	runs *energyv1.Runs
	run  int
	left uint32
}

func newCursor(r *energyv1.Runs) cursor { return cursor{runs: r, run: -1} }

func (c *cursor) next() uint64 {
	if len(c.runs.GetValue()) == 0 {
		return 0
	}
	for c.left == 0 {
		c.run++
		c.left = c.runs.Length[c.run]
	}
	c.left--
	return c.runs.Value[c.run]
}

// stampCursor reads the column of stamps row by row.
type stampCursor struct {
	column *energyv1.Stamps
	run    int
	left   uint32
	row    int
	stamp  reading.Stamp
}

func newStampCursor(s *energyv1.Stamps) stampCursor { return stampCursor{column: s, run: -1} }

func (c *stampCursor) next() reading.Stamp {
	for c.left == 0 {
		c.run++
		c.left = c.column.Rows[c.run]
		c.stamp.Received += c.column.ReceivedDeltaNs[c.run]
		c.stamp.Stream = c.column.Stream[c.run]
		c.stamp.Sequence += uint64(c.column.SequenceDelta[c.run])
		c.stamp.Index = 0
	}
	c.left--
	c.stamp.Index += uint32(c.column.IndexDelta[c.row])
	c.row++
	return c.stamp
}

// checkRuns reports whether a run-length column has exactly that many rows, or
// none, and no value above limit.
func checkRuns(name string, r *energyv1.Runs, rows int, limit uint64) error {
	if len(r.GetValue()) != len(r.GetLength()) {
		return fmt.Errorf("column %s has %d values for %d runs: %w",
			name, len(r.GetValue()), len(r.GetLength()), ErrMalformed)
	}
	if len(r.GetValue()) == 0 {
		return nil
	}
	total := uint64(0)
	for i, n := range r.Length {
		total += uint64(n)
		if r.Value[i] > limit {
			return fmt.Errorf("column %s holds %d, at most %d is allowed: %w", name, r.Value[i], limit, ErrMalformed)
		}
	}
	return checkRows(name, total, rows)
}

func checkRows(name string, got uint64, want int) error {
	if got != uint64(want) {
		return fmt.Errorf("column %s has %d rows of %d: %w", name, got, want, ErrMalformed)
	}
	return nil
}

func checkStamps(s *energyv1.Stamps, rows int) error {
	n := len(s.GetRows())
	if len(s.GetReceivedDeltaNs()) != n || len(s.GetStream()) != n || len(s.GetSequenceDelta()) != n {
		return fmt.Errorf("stamp runs disagree in number: %w", ErrMalformed)
	}
	total := uint64(0)
	for _, count := range s.GetRows() {
		total += uint64(count)
	}
	if err := checkRows("stamps", total, rows); err != nil {
		return err
	}
	return checkRows("index_delta", uint64(len(s.GetIndexDelta())), rows)
}

// common is what bronze and silver messages have in common.
type common interface {
	GetSeries() []*energyv1.SeriesKey
	GetSeriesIndex() []uint32
	GetTimeDeltaNs() []int64
	GetValue() []float64
	GetQuality() *energyv1.Runs
	GetRevision() *energyv1.Runs
	GetLengthNs() *energyv1.Runs
	GetStamps() *energyv1.Stamps
	GetExchanges() *energyv1.Exchanges
}

func checkCommon(b common) error {
	rows := len(b.GetSeriesIndex())
	for _, i := range b.GetSeriesIndex() {
		if int(i) >= len(b.GetSeries()) {
			return fmt.Errorf("series %d of %d: %w", i, len(b.GetSeries()), ErrMalformed)
		}
	}
	return errors.Join(
		checkRows("time_delta_ns", uint64(len(b.GetTimeDeltaNs())), rows),
		checkRows("value", uint64(len(b.GetValue())), rows),
		checkRuns("quality", b.GetQuality(), rows, uint64(reading.Withdrawn)),
		checkRuns("revision", b.GetRevision(), rows, math.MaxUint64),
		checkRuns("length_ns", b.GetLengthNs(), rows, math.MaxInt64),
		checkStamps(b.GetStamps(), rows),
		checkExchanges(b.GetExchanges(), rows),
	)
}

func checkExchanges(e *energyv1.Exchanges, rows int) error {
	if len(e.GetRow()) != len(e.GetStart()) {
		return fmt.Errorf("exchanges name %d rows for %d starts: %w", len(e.GetRow()), len(e.GetStart()), ErrMalformed)
	}
	for i, row := range e.GetRow() {
		if uint64(row) >= uint64(rows) || i > 0 && row <= e.GetRow()[i-1] {
			return fmt.Errorf("exchange of row %d of %d out of place: %w", row, rows, ErrMalformed)
		}
	}
	return nil
}

// commonCursor reads what bronze and silver rows have in common.
type commonCursor struct {
	batch                     common
	row                       int
	time                      int64
	quality, revision, length cursor
	stamps                    stampCursor
	exchanges                 *energyv1.Exchanges
	exchange                  int // place of the next one
}

func newCommonCursor(b common) commonCursor {
	return commonCursor{
		batch:   b,
		quality: newCursor(b.GetQuality()), revision: newCursor(b.GetRevision()),
		length: newCursor(b.GetLengthNs()), stamps: newStampCursor(b.GetStamps()),
		exchanges: b.GetExchanges(),
	}
}

// next returns the next row: its series' place in the dictionary, its reading
// without names, and its stamp.
func (c *commonCursor) next() (series uint32, r reading.Reading, stamp reading.Stamp) {
	c.time += c.batch.GetTimeDeltaNs()[c.row]
	r = reading.Reading{
		Time:     c.time,
		Value:    c.batch.GetValue()[c.row],
		Quality:  reading.Quality(c.quality.next()),
		Revision: c.revision.next(),
		Length:   time.Duration(c.length.next()),
	}
	if e := c.exchanges; c.exchange < len(e.GetRow()) && e.Row[c.exchange] == uint32(c.row) {
		r.Exchange, r.ExchangeStart = true, e.Start[c.exchange]
		c.exchange++
	}
	series = c.batch.GetSeriesIndex()[c.row]
	c.row++
	return series, r, c.stamps.next()
}
