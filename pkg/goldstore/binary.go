package goldstore

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// Rows travel in Postgres' binary format, written and read here by hand: it
// costs a tenth of what a value at a time through reflection does. See "COPY,
// Binary Format" in the manual.

// postgresEpoch is 2000-01-01 in Unix µs, from which timestamps count.
const postgresEpoch = 946_684_800_000_000

// copyHeader is the signature, no flags, no extension.
const copyHeader = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// copyBuffer is a COPY stream under construction.
type copyBuffer []byte

func (b *copyBuffer) begin() { *b = append((*b)[:0], copyHeader...) }
func (b *copyBuffer) end()   { *b = append(*b, 0xff, 0xff) }

func (b *copyBuffer) row(columns int) { *b = binary.BigEndian.AppendUint16(*b, uint16(columns)) }

func (b *copyBuffer) int8(v int64) {
	*b = binary.BigEndian.AppendUint64(append(*b, 0, 0, 0, 8), uint64(v))
}

func (b *copyBuffer) int4(v int32) {
	*b = binary.BigEndian.AppendUint32(append(*b, 0, 0, 0, 4), uint32(v))
}

func (b *copyBuffer) int2(v int16) {
	*b = binary.BigEndian.AppendUint16(append(*b, 0, 0, 0, 2), uint16(v))
}

func (b *copyBuffer) float8(v float64) { b.int8(int64(math.Float64bits(v))) }

// time takes Unix ns in whole µs.
func (b *copyBuffer) time(ns int64) { b.int8(ns/1000 - postgresEpoch) }

func (b *copyBuffer) bytes(v []byte) {
	*b = append(binary.BigEndian.AppendUint32(*b, uint32(len(v))), v...)
}

// open begins a column of bytes that the caller appends, up to close.
func (b *copyBuffer) open() (at int) {
	*b = append(*b, 0, 0, 0, 0)
	return len(*b)
}

func (b *copyBuffer) close(at int) {
	binary.BigEndian.PutUint32((*b)[at-4:], uint32(len(*b)-at))
}

// statsColumns are the columns of a gold.Partial, in the order of stats below
// and in fields.stats.
const (
	statsColumns = `count, sum, min, min_at_ns, max, max_at_ns, first, first_at_ns, last, last_at_ns,
	squared_deviations, energy, advance, covered_ns, gaps, resets, exchanges, estimated_count, corrected_count,
	estimated_energy, corrected_energy, flags, first_quality, last_quality,
	reach_ns, head_until_ns, tail_since_ns, overlapping, spikes, jumps`
	statsCount = 30
)

func (b *copyBuffer) stats(p *gold.Partial) {
	b.int8(int64(p.Count))
	b.float8(p.Sum)
	b.float8(p.Min)
	b.int8(p.MinAt)
	b.float8(p.Max)
	b.int8(p.MaxAt)
	b.float8(p.First)
	b.int8(p.FirstAt)
	b.float8(p.Last)
	b.int8(p.LastAt)
	b.float8(p.SquaredDeviations)
	b.float8(p.Energy)
	b.float8(p.Advance)
	b.int8(int64(p.Covered))
	b.int8(int64(p.Gaps))
	b.int8(int64(p.Resets))
	b.int8(int64(p.Exchanges))
	b.int8(int64(p.EstimatedCount))
	b.int8(int64(p.CorrectedCount))
	b.float8(p.EstimatedEnergy)
	b.float8(p.CorrectedEnergy)
	b.int8(int64(p.Flags))
	b.int2(int16(p.FirstQuality))
	b.int2(int16(p.LastQuality))
	b.int8(p.Reach)
	b.int8(p.HeadUntil)
	b.int8(p.TailSince)
	b.int8(int64(p.Overlaps))
	b.int8(int64(p.Spikes))
	b.int8(int64(p.Jumps))
}

// standingColumns are the columns of a gold.Standing.
const (
	standingColumns = `first_received_ns, settled_ns, first_settled_ns, last_settled_ns`
	standingCount   = 4
)

func (b *copyBuffer) standing(s *gold.Standing) {
	b.int8(s.FirstReceived)
	b.int8(s.Settled)
	b.int8(s.FirstSettled)
	b.int8(s.LastSettled)
}

// fields reads the columns of one row from left to right and remembers that
// one was not as wide as its type.
type fields struct {
	values [][]byte
	bad    bool
}

var errFormat = errors.New("a column of the answer is not in binary format, or not of its type")

func (f *fields) err() error {
	if f.bad || len(f.values) > 0 {
		return errFormat
	}
	return nil
}

// zeros stands in for a column that is missing; it is never written.
var zeros = make([]byte, 8)

func (f *fields) fixed(width int) []byte {
	if len(f.values) == 0 || len(f.values[0]) != width {
		f.bad = true
		return zeros
	}
	v := f.values[0]
	f.values = f.values[1:]
	return v
}

func (f *fields) int8() int64     { return int64(binary.BigEndian.Uint64(f.fixed(8))) }
func (f *fields) int4() int32     { return int32(binary.BigEndian.Uint32(f.fixed(4))) }
func (f *fields) int2() int16     { return int16(binary.BigEndian.Uint16(f.fixed(2))) }
func (f *fields) float8() float64 { return math.Float64frombits(binary.BigEndian.Uint64(f.fixed(8))) }

// orInt8 is int8 of a column that may be null, 0 when it is.
func (f *fields) orInt8() int64 {
	if len(f.values) > 0 && f.values[0] == nil {
		f.values = f.values[1:]
		return 0
	}
	return f.int8()
}

func (f *fields) micros() int64   { return f.int8() + postgresEpoch }
func (f *fields) nanos() int64    { return f.micros() * 1000 }
func (f *fields) time() time.Time { return time.UnixMicro(f.micros()).UTC() }
func (f *fields) key() (k RowKey) {
	k.SeriesID = f.int8()
	k.Start = f.nanos()
	k.Width = time.Duration(f.int4()) * time.Second
	return k
}

// bytes returns memory that is the driver's until the next row.
func (f *fields) bytes() []byte {
	if len(f.values) == 0 {
		f.bad = true
		return nil
	}
	v := f.values[0]
	f.values = f.values[1:]
	return v
}

func (f *fields) stats(p *gold.Partial) {
	p.Count = uint64(f.int8())
	p.Sum = f.float8()
	p.Min = f.float8()
	p.MinAt = f.int8()
	p.Max = f.float8()
	p.MaxAt = f.int8()
	p.First = f.float8()
	p.FirstAt = f.int8()
	p.Last = f.float8()
	p.LastAt = f.int8()
	p.SquaredDeviations = f.float8()
	p.Energy = f.float8()
	p.Advance = f.float8()
	p.Covered = time.Duration(f.int8())
	p.Gaps = uint64(f.int8())
	p.Resets = uint64(f.int8())
	p.Exchanges = uint64(f.int8())
	p.EstimatedCount = uint64(f.int8())
	p.CorrectedCount = uint64(f.int8())
	p.EstimatedEnergy = f.float8()
	p.CorrectedEnergy = f.float8()
	p.Flags = reading.Rules(f.int8())
	p.FirstQuality = reading.Quality(f.int2())
	p.LastQuality = reading.Quality(f.int2())
	p.Reach = f.int8()
	p.HeadUntil = f.int8()
	p.TailSince = f.int8()
	p.Overlaps = uint64(f.int8())
	p.Spikes = uint64(f.int8())
	p.Jumps = uint64(f.int8())
}

func (f *fields) standing(s *gold.Standing) {
	s.FirstReceived, s.Settled = f.int8(), f.int8()
	s.FirstSettled, s.LastSettled = f.int8(), f.int8()
}
