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
const foldFormat = 2

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

// AppendFolds appends folds in the order of time, such as a [FoldReader] reads.
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

// FoldReader reads folds. Make one with [NewFoldReader]; it is not safe for
// concurrent use.
type FoldReader struct {
	fold    Stored
	marks   uint64
	changed int64
	numbers foldReader
}

// NewFoldReader returns a reader, for many calls of Read.
func NewFoldReader() *FoldReader {
	r := new(FoldReader)
	r.fold.numbers(&r.numbers, &r.marks, &r.changed)
	return r
}

// Read calls fn for each fold of that width that AppendFolds has written. It is
// fn's only during the call.
func (r *FoldReader) Read(b []byte, width time.Duration, fn func(*Stored) error) error {
	if len(b) == 0 || b[0] != foldFormat {
		return fmt.Errorf("%w: folds of an unknown format", ErrCorrupt)
	}
	n, s, last := &r.numbers, &r.fold, int64(0)
	n.in, n.at, n.bad = b[1:], 0, false
	for left := n.uvarint(); left > 0; left-- {
		*s, r.marks, r.changed = Stored{Start: last + n.varint(), Width: width}, 0, 0
		last = s.Start
		n.read(s.Start)
		s.setMarks(r.marks)
		if r.changed != 0 {
			s.Changed = time.Unix(0, r.changed).UTC()
		}
		if n.bad {
			return fmt.Errorf("%w: folds that end too soon", ErrCorrupt)
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	if n.bad || n.at < len(n.in) {
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

	last, other int64 // times that were written in ns
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

// The byte before a time tells how it goes on. Receive times are not in whole seconds
// and few: most of a fold's are one of the two before.
const (
	nanoseconds  = 0 // eight bytes, which are read faster than a long varint
	wholeSeconds = 1 // a varint
	lastAgain    = 2 // nothing: it is the last one that was written in ns
	otherAgain   = 3 // nothing: it is the one before that
)

func (w *foldWriter) time(v *int64) {
	if !w.has(*v != 0) {
		return
	}
	d := *v - w.start
	if d%int64(time.Second) == 0 {
		w.out = binary.AppendVarint(append(w.out, wholeSeconds), d/int64(time.Second))
		return
	}
	switch d {
	case w.last:
		w.out = append(w.out, lastAgain)
	case w.other:
		w.out = append(w.out, otherAgain)
	default:
		w.out = binary.LittleEndian.AppendUint64(append(w.out, nanoseconds), uint64(d))
		w.last, w.other = d, w.last
	}
}

// foldReader reads the numbers that there are into where it was told once that they
// belong.
type foldReader struct {
	in  []byte
	at  int // read so far
	bad bool
	to  [64]destination
	n   int

	last, other int64 // times that were read in ns
}

// destination is where a number belongs.
type destination struct {
	kind    numberKind
	float   *float64
	integer *int64 // a time too
	count   *uint64
}

type numberKind uint8

const (
	noNumber numberKind = iota // of a later build
	floatNumber
	integerNumber
	countNumber
	timeNumber
)

func (r *foldReader) add(d destination) {
	r.to[r.n] = d
	r.n++
}

func (r *foldReader) float(v *float64) { r.add(destination{kind: floatNumber, float: v}) }
func (r *foldReader) integer(v *int64) { r.add(destination{kind: integerNumber, integer: v}) }
func (r *foldReader) count(v *uint64)  { r.add(destination{kind: countNumber, count: v}) }
func (r *foldReader) time(v *int64)    { r.add(destination{kind: timeNumber, integer: v}) }

// read reads the numbers of a fold that starts then.
func (r *foldReader) read(start int64) {
	r.last, r.other = 0, 0
	for present := r.fixed(); present != 0; present &= present - 1 {
		switch d := &r.to[bits.TrailingZeros64(present)]; d.kind {
		case floatNumber:
			*d.float = math.Float64frombits(r.fixed())
		case timeNumber:
			*d.integer = start + r.since()
		case countNumber:
			*d.count = r.uvarint()
		case integerNumber:
			*d.integer = r.varint()
		default:
			r.bad = true
		}
	}
}

// fixed returns the next eight bytes.
func (r *foldReader) fixed() uint64 {
	if len(r.in)-r.at < 8 {
		r.end()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.in[r.at:])
	r.at += 8
	return v
}

// since returns the next time, from the fold's start.
func (r *foldReader) since() int64 {
	if r.at == len(r.in) {
		r.end()
		return 0
	}
	r.at++
	switch r.in[r.at-1] {
	case wholeSeconds:
		return r.varint() * int64(time.Second)
	case lastAgain:
		return r.last
	case otherAgain:
		return r.other
	case nanoseconds:
		r.last, r.other = int64(r.fixed()), r.last
		return r.last
	default:
		r.end()
		return 0
	}
}

func (r *foldReader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *foldReader) uvarint() uint64 {
	if r.at < len(r.in) && r.in[r.at] < 0x80 {
		r.at++
		return uint64(r.in[r.at-1])
	}
	v, n := binary.Uvarint(r.in[r.at:])
	if n <= 0 {
		r.end()
		return 0
	}
	r.at += n
	return v
}

// end says that there should be more.
func (r *foldReader) end() { r.bad, r.at = true, len(r.in) }
