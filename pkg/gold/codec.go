package gold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// A row's versions are encoded as two canonical byte strings, so that equal
// sets have equal bytes and equal bytes equal sets: samples holds contents and
// judgements, stamps holds the stamps of the same versions in the same order.
// Two platforms that took in the same readings by different messages agree on
// samples.
//
// samples, format 1: the format byte and the number of versions; for a set that
// is not empty also
//
//   - a bit set of the run columns that follow, those that are not all zero;
//   - the units of times (low four bits) and lengths (high), the largest of
//     units that divides them all;
//   - event times from the row's start: the first, the first difference, then
//     differences of differences, packed;
//   - values: see values.go;
//   - the run columns: quality, revision, length, epoch, flags, judgement;
//   - the start indices of the versions that record an exchange, as values are.
//
// stamps, format 1 or, where a version rests on a release, 2: see stamps.go.
//
// Integers are varints of least length, signed ones zigzag; see ints.go for
// packed ones and runs.

const (
	samplesFormat  = 1
	stampsFormat   = 1
	releasedFormat = 2 // of stamps with releases

	bitRejected = 1 << 0
	bitWaived   = 1 << 1
	bitExchange = 1 << 2
)

// MaxVersions bounds the versions of a row, and so of one encoding: 70 a second
// for a window of a quarter of an hour.
const MaxVersions = 1 << 16

// roomVersions is how many versions are encoded and decoded without taking
// memory for columns.
const roomVersions = 256

// ErrCorrupt is returned when bytes are not an encoding of versions.
var ErrCorrupt = errors.New("corrupt version encoding")

// Encode returns the canonical encoding of a normalized set of versions of the
// row that starts at start, MaxVersions at most: equal sets have equal bytes (invariant 2).
func Encode(start int64, versions []Version) (samples, stamps []byte) {
	b := make([]byte, 0, 64+8*len(versions))
	b = AppendSamples(b, start, versions)
	n := len(b)
	b = AppendStamps(b, start, versions)
	return b[:n:n], b[n:]
}

// AppendSamples appends the samples that Encode returns.
func AppendSamples(b []byte, start int64, versions []Version) []byte {
	b = append(b, samplesFormat)
	b = binary.AppendUvarint(b, uint64(len(versions)))
	if len(versions) == 0 {
		return b
	}
	var (
		intRoom   [roomVersions]int64
		floatRoom [roomVersions]float64
		ints      = sized(intRoom[:], len(versions))
		floats    = sized(floatRoom[:], len(versions))
	)
	head := len(b)
	b = append(b, 0, 0)
	for i := range versions {
		ints[i] = versions[i].Time - start
	}
	b[head+1] = divide(ints)
	b = appendInts(b, 2, ints)
	for i := range versions {
		floats[i] = versions[i].Value
	}
	b = appendValues(b, floats, ints)
	for i := range columns {
		if gather(ints, versions, columns[i].get) {
			continue
		}
		b[head] |= 1 << i
		if i == lengthColumn {
			b[head+1] |= divide(ints) << 4
		}
		b = appendRuns(b, ints)
	}
	floats = floats[:0]
	for i := range versions {
		if versions[i].Exchange {
			floats = append(floats, versions[i].ExchangeStart)
		}
	}
	return appendValues(b, floats, ints)
}

// gather copies a column and reports whether all of it is zero.
func gather(to []int64, versions []Version, get func(*Version) uint64) (zero bool) {
	all := int64(0)
	for i := range versions {
		to[i] = int64(get(&versions[i]))
		all |= to[i]
	}
	return all == 0
}

// Decode is the inverse of Encode. It returns ErrCorrupt, wrapped with what is
// wrong, for bytes that Encode cannot have produced of a normalized set (invariant 2).
func Decode(start int64, samples, stamps []byte) ([]Version, error) {
	d := decoder{rest: samples}
	versions := d.samples(start)
	if err := d.end("samples"); err != nil {
		return nil, err
	}
	d = decoder{rest: stamps}
	d.stamps(start, versions)
	if err := d.end("stamps"); err != nil {
		return nil, err
	}
	return versions, nil
}

func (d *decoder) samples(start int64) []Version {
	d.format(samplesFormat)
	n := d.uvarint()
	if d.err != nil || n == 0 {
		return nil
	}
	if n > MaxVersions {
		d.fail(fmt.Sprintf("%d versions", n))
		return nil
	}
	var (
		versions  = make([]Version, n)
		intRoom   [roomVersions]int64
		floatRoom [roomVersions]float64
		ints      = sized(intRoom[:], len(versions))
		floats    = sized(floatRoom[:], len(versions))
		present   = d.byte()
		units     = d.byte()
	)
	d.ints(2, ints)
	d.multiply(ints, units&0xf)
	for i := range versions {
		versions[i].Time = start + ints[i]
	}
	d.values(floats, ints)
	for i := range versions {
		versions[i].Value = floats[i]
	}
	d.columns(versions, ints, present, units>>4)
	d.exchanges(versions, floats, ints)
	for i := 1; i < len(versions); i++ {
		if Compare(&versions[i-1], &versions[i]) >= 0 {
			d.fail("versions out of order")
		}
	}
	return versions
}

// columns reads the run columns that are present.
func (d *decoder) columns(versions []Version, ints []int64, present, lengthUnit byte) {
	if present >= 1<<len(columns) || lengthUnit != 0 && present&(1<<lengthColumn) == 0 {
		d.fail("columns that there are not")
		return
	}
	for i := range columns {
		if present&(1<<i) == 0 {
			continue
		}
		d.runs(ints, columns[i].limit)
		if !slices.ContainsFunc(ints, func(x int64) bool { return x != 0 }) {
			d.fail("a column of zeros")
		}
		if i == lengthColumn {
			d.multiply(ints, lengthUnit)
		}
		for j := range versions {
			columns[i].set(&versions[j], uint64(ints[j]))
		}
	}
}

// exchanges reads the start indices of the versions that record an exchange.
func (d *decoder) exchanges(versions []Version, floats []float64, ints []int64) {
	n := 0
	for i := range versions {
		if versions[i].Exchange {
			n++
		}
	}
	floats = floats[:n]
	d.values(floats, ints)
	for i := range versions {
		if versions[i].Exchange {
			versions[i].ExchangeStart, floats = floats[0], floats[1:]
		}
	}
}

// column is one run-length column of samples.
type column struct {
	get   func(*Version) uint64
	set   func(*Version, uint64)
	limit uint64 // greatest value
}

// lengthColumn is the place of the lengths, which are counted in a unit.
const lengthColumn = 2

var columns = [...]column{
	{func(v *Version) uint64 { return uint64(v.Quality) },
		func(v *Version, x uint64) { v.Quality = reading.Quality(x) }, math.MaxUint8},
	{func(v *Version) uint64 { return v.Revision },
		func(v *Version, x uint64) { v.Revision = x }, math.MaxUint64},
	{func(v *Version) uint64 { return uint64(v.Length) },
		func(v *Version, x uint64) { v.Length = time.Duration(x) }, math.MaxUint64},
	{func(v *Version) uint64 { return v.Epoch },
		func(v *Version, x uint64) { v.Epoch = x }, math.MaxUint64},
	{func(v *Version) uint64 { return uint64(v.Flags) },
		func(v *Version, x uint64) { v.Flags = reading.Rules(x) }, math.MaxUint64},
	{judgementBits, setJudgementBits, bitRejected | bitWaived | bitExchange},
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
