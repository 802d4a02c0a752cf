package gold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// A row's versions are encoded as two canonical byte strings, so that equal
// sets have equal bytes: samples holds contents and judgements, stamps holds
// the stamps of the same versions in the same order. Two platforms that took
// in the same readings by different messages agree on samples.
//
// samples, format 1: the format byte, the number of versions, then columns:
// event time (delta of delta from the row's start), value, quality, revision,
// length, epoch, flags and judgement bits, the latter six as run lengths.
// Values are decimal integers over one power of ten where that decodes to the
// same bits, otherwise raw IEEE 754 bits. Integers are varints, signed ones
// zigzag.
//
// stamps, format 1: the format byte, then one run a source message: number of
// versions, receive time and sequence as differences from the run before,
// stream, and the index of each version as difference from the one before.

const (
	samplesFormat = 1
	stampsFormat  = 1

	valuesRaw     = 0xff // marks values that no power of ten fits
	maxExponent   = 15   // of the decimal form
	maxMantissa   = 1 << 53
	maxRowEntries = 1 << 20 // decoder's bound on versions in a row

	bitRejected = 1 << 0
	bitWaived   = 1 << 1
	bitExchange = 1 << 2
)

// ErrCorrupt is returned when bytes are not an encoding of versions.
var ErrCorrupt = errors.New("corrupt version encoding")

// Encode returns the canonical encoding of a normalized set of versions of the
// row that starts at start.
func Encode(start int64, versions []Version) (samples, stamps []byte) {
	samples = make([]byte, 0, 16+4*len(versions))
	samples = append(samples, samplesFormat)
	samples = binary.AppendUvarint(samples, uint64(len(versions)))
	samples = appendTimes(samples, start, versions)
	samples = appendValues(samples, versions)
	for _, column := range columns {
		samples = appendRuns(samples, versions, column.get)
	}
	return samples, appendStamps(versions)
}

// Decode is the inverse of Encode. It returns ErrCorrupt, wrapped with what is
// wrong, for bytes that Encode cannot have produced.
func Decode(start int64, samples, stamps []byte) ([]Version, error) {
	d := decoder{rest: samples}
	if f := d.byte(); f != samplesFormat && d.err == nil {
		return nil, fmt.Errorf("samples format %d: %w", f, ErrCorrupt)
	}
	n := d.uvarint()
	if n > maxRowEntries || n > uint64(len(samples)) {
		return nil, fmt.Errorf("%d versions in %d bytes: %w", n, len(samples), ErrCorrupt)
	}
	versions := make([]Version, n)
	d.times(start, versions)
	d.values(versions)
	for _, column := range columns {
		d.runs(versions, column.set)
	}
	if err := d.end("samples"); err != nil {
		return nil, err
	}
	d = decoder{rest: stamps}
	if f := d.byte(); f != stampsFormat && d.err == nil {
		return nil, fmt.Errorf("stamps format %d: %w", f, ErrCorrupt)
	}
	d.stamps(versions)
	if err := d.end("stamps"); err != nil {
		return nil, err
	}
	return versions, nil
}

// column is one run-length column of samples.
type column struct {
	get func(*Version) uint64
	set func(*Version, uint64)
}

var columns = [...]column{
	{func(v *Version) uint64 { return uint64(v.Quality) },
		func(v *Version, x uint64) { v.Quality = reading.Quality(x) }},
	{func(v *Version) uint64 { return v.Revision },
		func(v *Version, x uint64) { v.Revision = x }},
	{func(v *Version) uint64 { return uint64(v.Length) },
		func(v *Version, x uint64) { v.Length = time.Duration(x) }},
	{func(v *Version) uint64 { return v.Epoch },
		func(v *Version, x uint64) { v.Epoch = x }},
	{func(v *Version) uint64 { return uint64(v.Flags) },
		func(v *Version, x uint64) { v.Flags = reading.Rules(x) }},
	{judgementBits, setJudgementBits},
	{func(v *Version) uint64 { return math.Float64bits(v.ExchangeStart) },
		func(v *Version, x uint64) { v.ExchangeStart = math.Float64frombits(x) }},
}

func judgementBits(v *Version) (bits uint64) {
	if v.Rejected {
		bits |= bitRejected
	}
	if v.Waived {
		bits |= bitWaived
	}
	if v.Exchange {
		bits |= bitExchange
	}
	return bits
}

func setJudgementBits(v *Version, bits uint64) {
	v.Rejected, v.Waived, v.Exchange = bits&bitRejected != 0, bits&bitWaived != 0, bits&bitExchange != 0
}

func appendTimes(b []byte, start int64, versions []Version) []byte {
	prev, delta := start, int64(0)
	for i := range versions {
		d := versions[i].Time - prev
		b = binary.AppendVarint(b, d-delta)
		prev, delta = versions[i].Time, d
	}
	return b
}

// appendValues writes the exponent byte and the values.
func appendValues(b []byte, versions []Version) []byte {
	for exponent := range maxExponent + 1 {
		if out, ok := appendDecimals(append(b, byte(exponent)), exponent, versions); ok {
			return out
		}
	}
	b = append(b, valuesRaw)
	for i := range versions {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(versions[i].Value))
	}
	return b
}

// appendDecimals writes values as integers over 10^exponent; ok is false when
// one of them does not come back with the same bits.
func appendDecimals(b []byte, exponent int, versions []Version) (out []byte, ok bool) {
	scale := math.Pow10(exponent)
	prev := int64(0)
	for i := range versions {
		m := math.RoundToEven(versions[i].Value * scale)
		if !(math.Abs(m) < maxMantissa) ||
			math.Float64bits(m/scale) != math.Float64bits(versions[i].Value) {
			return b, false
		}
		b = binary.AppendVarint(b, int64(m)-prev)
		prev = int64(m)
	}
	return b, true
}

func appendRuns(b []byte, versions []Version, get func(*Version) uint64) []byte {
	for i := 0; i < len(versions); {
		value, j := get(&versions[i]), i+1
		for j < len(versions) && get(&versions[j]) == value {
			j++
		}
		b = binary.AppendUvarint(b, uint64(j-i))
		b = binary.AppendUvarint(b, value)
		i = j
	}
	return b
}

func appendStamps(versions []Version) []byte {
	b := make([]byte, 0, 16+2*len(versions))
	b = append(b, stampsFormat)
	var prev reading.Stamp
	for i := 0; i < len(versions); {
		s, j := versions[i].Stamp, i+1
		for j < len(versions) && sameMessage(s, versions[j].Stamp) {
			j++
		}
		b = binary.AppendUvarint(b, uint64(j-i))
		b = binary.AppendVarint(b, s.Received-prev.Received)
		b = binary.AppendVarint(b, int64(s.Sequence-prev.Sequence))
		b = binary.AppendUvarint(b, uint64(s.Stream))
		prev = s
		index := int64(0)
		for ; i < j; i++ {
			b = binary.AppendVarint(b, int64(versions[i].Stamp.Index)-index)
			index = int64(versions[i].Stamp.Index)
		}
	}
	return b
}

// sameMessage reports whether two stamps are of one source message.
func sameMessage(s, t reading.Stamp) bool {
	return s.Sequence == t.Sequence && s.Stream == t.Stream && s.Received == t.Received
}
