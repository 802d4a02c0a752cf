package gold

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// Folds are stored packed: a mask tells which numbers are not zero, and these
// follow it. Times count from the fold's start.

// foldFormat is the first byte of what AppendFolds writes.
const foldFormat = 1

// visitor writes or reads the numbers of a fold.
type visitor interface {
	float(v *float64)
	integer(v *int64)
	count(v *uint64)
	time(v *int64) // Unix ns
}

// numbers visits the numbers of a fold, always in the same order. Those that have
// no such type are in marks and changed.
func (s *Stored) numbers(v visitor, marks *uint64, changed *int64) {
	p, e, st := &s.Stats, &s.Ends, &s.Standing
	for _, n := range [...]*uint64{
		marks, &p.Count, &p.Gaps, &p.Resets, &p.Exchanges, &p.EstimatedCount, &p.CorrectedCount, (*uint64)(&p.Flags),
		&p.Overlaps, &p.Spikes, &p.Jumps,
	} {
		v.count(n)
	}
	for _, f := range [...]*float64{
		&p.Sum, &p.Min, &p.Max, &p.First, &p.Last, &p.SquaredDeviations, &p.Energy, &p.Advance,
		&p.EstimatedEnergy, &p.CorrectedEnergy, &s.Peak, &e.Head, &e.HeadShare, &e.Tail, &e.Interpolated,
	} {
		v.float(f)
	}
	for _, t := range [...]*int64{
		&p.MinAt, &p.MaxAt, &p.FirstAt, &p.LastAt, &p.Reach, &p.HeadUntil, &p.TailSince, &s.PeakAt,
		&e.Start, &e.LastStart, &e.End, &e.HeadReceived, &e.TailReceived,
		&st.FirstReceived, &st.Settled, &st.FirstSettled, &st.LastSettled, changed,
	} {
		v.time(t)
	}
	for _, n := range [...]*int64{(*int64)(&p.Covered), (*int64)(&s.Pace), &s.Revision} {
		v.integer(n)
	}
}

// The bits of marks.
const (
	markPeak = 1 << iota
	markHeadCut
	markTailCut
	markInterpolated
	markQualities // the first and the last one follow, four bits each
)

func (s *Stored) marks() (marks uint64) {
	for i, set := range [...]bool{s.HasPeak, s.Ends.HeadCut, s.Ends.TailCut, s.Ends.HasInterpolated} {
		if set {
			marks |= markPeak << i
		}
	}
	return marks | uint64(s.Stats.FirstQuality)*markQualities | uint64(s.Stats.LastQuality)*markQualities<<4
}

func (s *Stored) setMarks(marks uint64) {
	s.HasPeak, s.Ends.HasInterpolated = marks&markPeak != 0, marks&markInterpolated != 0
	s.Ends.HeadCut, s.Ends.TailCut = marks&markHeadCut != 0, marks&markTailCut != 0
	s.Stats.FirstQuality = reading.Quality(marks / markQualities & 15)
	s.Stats.LastQuality = reading.Quality(marks / markQualities >> 4 & 15)
}

// AppendFolds appends folds in the order of time, such as [ReadFolds] reads.
func AppendFolds(b []byte, folds []Stored) []byte {
	b = binary.AppendUvarint(append(b, foldFormat), uint64(len(folds)))
	last := int64(0)
	for i := range folds {
		s := folds[i]
		b = binary.AppendVarint(b, s.Start-last)
		last = s.Start
		w := foldWriter{start: s.Start, mask: len(b), out: binary.LittleEndian.AppendUint64(b, 0)}
		marks, changed := s.marks(), int64(0)
		if !s.Changed.IsZero() {
			changed = s.Changed.UnixNano()
		}
		s.numbers(&w, &marks, &changed)
		binary.LittleEndian.PutUint64(w.out[w.mask:], w.present)
		b = w.out
	}
	return b
}

// ReadFolds calls fn for each fold of that width that AppendFolds has written. It
// is fn's only during the call.
func ReadFolds(b []byte, width time.Duration, fn func(*Stored) error) error {
	if len(b) == 0 || b[0] != foldFormat {
		return fmt.Errorf("%w: folds of an unknown format", ErrCorrupt)
	}
	var (
		s       Stored
		marks   uint64
		changed int64
		r       = foldReader{in: b[1:]}
		last    = int64(0)
	)
	s.numbers(&r, &marks, &changed)
	for n := r.uvarint(); n > 0; n-- {
		s, marks, changed = Stored{Start: last + r.varint(), Width: width}, 0, 0
		last = s.Start
		r.read(s.Start)
		s.setMarks(marks)
		if changed != 0 {
			s.Changed = time.Unix(0, changed).UTC()
		}
		if r.bad {
			return fmt.Errorf("%w: folds that end too soon", ErrCorrupt)
		}
		if err := fn(&s); err != nil {
			return err
		}
	}
	if r.bad || len(r.in) > 0 {
		return fmt.Errorf("%w: folds of another length", ErrCorrupt)
	}
	return nil
}

type foldWriter struct {
	out     []byte
	start   int64
	mask    int // where it stands
	at      int // of the next number
	present uint64
}

// has counts a number, which is there or zero.
func (w *foldWriter) has(there bool) bool {
	if there {
		w.present |= 1 << w.at
	}
	w.at++
	return there
}

func (w *foldWriter) float(v *float64) {
	if n := math.Float64bits(*v); w.has(n != 0) {
		w.out = binary.LittleEndian.AppendUint64(w.out, n)
	}
}

func (w *foldWriter) integer(v *int64) {
	if w.has(*v != 0) {
		w.out = binary.AppendVarint(w.out, *v)
	}
}

func (w *foldWriter) count(v *uint64) {
	if w.has(*v != 0) {
		w.out = binary.AppendUvarint(w.out, *v)
	}
}

// time writes a time in a byte that says whether it is in whole seconds, and a
// varint.
func (w *foldWriter) time(v *int64) {
	if !w.has(*v != 0) {
		return
	}
	d := *v - w.start
	if d%int64(time.Second) == 0 {
		w.out = binary.AppendVarint(append(w.out, 1), d/int64(time.Second))
		return
	}
	w.out = binary.AppendVarint(append(w.out, 0), d)
}

// foldReader reads the numbers that there are into where it was told once that they
// belong.
type foldReader struct {
	in  []byte
	bad bool
	to  [64]destination
	n   int
}

// destination is where a number belongs: one of these.
type destination struct {
	float         *float64
	integer, time *int64
	count         *uint64
}

func (r *foldReader) add(d destination) {
	r.to[r.n] = d
	r.n++
}

func (r *foldReader) float(v *float64) { r.add(destination{float: v}) }
func (r *foldReader) integer(v *int64) { r.add(destination{integer: v}) }
func (r *foldReader) count(v *uint64)  { r.add(destination{count: v}) }
func (r *foldReader) time(v *int64)    { r.add(destination{time: v}) }

// read reads the numbers of a fold that starts then.
func (r *foldReader) read(start int64) {
	present := binary.LittleEndian.Uint64(r.bytes(8))
	for ; present != 0; present &= present - 1 {
		switch d := &r.to[bits.TrailingZeros64(present)]; {
		case d.float != nil:
			*d.float = math.Float64frombits(binary.LittleEndian.Uint64(r.bytes(8)))
		case d.time != nil:
			unit := int64(1)
			if r.bytes(1)[0] == 1 {
				unit = int64(time.Second)
			}
			*d.time = start + r.varint()*unit
		case d.count != nil:
			*d.count = r.uvarint()
		case d.integer != nil:
			*d.integer = r.varint()
		default:
			r.bad = true // a number of a later build
		}
	}
}

var eightZeros = make([]byte, 8)

// bytes returns the next n bytes, at most eight.
func (r *foldReader) bytes(n int) []byte {
	if len(r.in) < n {
		r.bad, r.in = true, nil
		return eightZeros
	}
	out := r.in[:n]
	r.in = r.in[n:]
	return out
}

func (r *foldReader) varint() int64 {
	v, n := binary.Varint(r.in)
	if n <= 0 {
		r.bad, r.in = true, nil
		return 0
	}
	r.in = r.in[n:]
	return v
}

func (r *foldReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 {
		r.bad, r.in = true, nil
		return 0
	}
	r.in = r.in[n:]
	return v
}
