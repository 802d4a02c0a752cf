package gold

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// units are what times and lengths are counted in.
var units = [...]int64{1, int64(time.Microsecond), int64(time.Millisecond), int64(time.Second), int64(time.Minute)}

// largestUnit returns the place of the largest unit that divides all values.
func largestUnit(values []int64) byte {
	unit := len(units) - 1
	for _, v := range values {
		for v%units[unit] != 0 {
			unit--
		}
	}
	return byte(unit)
}

// divide divides the values by the largest unit that divides them all and
// returns its place.
func divide(values []int64) byte {
	unit := largestUnit(values)
	if unit > 0 {
		for i := range values {
			values[i] /= units[unit]
		}
	}
	return unit
}

// multiply is the inverse of divide.
func (d *decoder) multiply(values []int64, unit byte) {
	if int(unit) >= len(units) {
		d.fail("unit out of range")
		return
	}
	for i, v := range values {
		values[i] = v * units[unit]
		if values[i]/units[unit] != v {
			d.fail("a time that overflows")
		}
	}
	if largestUnit(values) != unit {
		d.fail("another unit than the largest")
	}
}

// appendInts appends integers as differences, of the first or second order: the
// first of each order as varints, the rest packed: a byte with the width of the
// widest in bits, then zigzag integers of that width, the lowest bit first,
// filled up with zeros to a whole byte. It overwrites values.
func appendInts(b []byte, order int, values []int64) []byte {
	for o := 1; o <= order; o++ {
		for i := len(values) - 1; i >= o; i-- {
			values[i] -= values[i-1]
		}
	}
	heads := min(order, len(values))
	for _, v := range values[:heads] {
		b = binary.AppendVarint(b, v)
	}
	packed := values[heads:]
	if len(packed) == 0 {
		return b
	}
	all := uint64(0)
	for i, v := range packed {
		z := uint64(v<<1) ^ uint64(v>>63)
		all |= z
		packed[i] = int64(z)
	}
	width := uint(bits.Len64(all))
	w := bitWriter{b: append(b, byte(width))}
	if width > 0 {
		for _, z := range packed {
			w.write(uint64(z), width)
		}
	}
	return w.end()
}

// ints is the inverse of appendInts.
func (d *decoder) ints(order int, values []int64) {
	heads := min(order, len(values))
	for i := range heads {
		values[i] = d.varint()
	}
	if len(values) > heads {
		d.packed(values[heads:])
	}
	for o := order; o >= 1; o-- {
		for i := o; i < len(values); i++ {
			values[i] += values[i-1]
		}
	}
}

func (d *decoder) packed(values []int64) {
	width := uint(d.byte())
	if width > 64 {
		d.fail("width out of range")
		return
	}
	r := bitReader{b: d.rest}
	all := uint64(0)
	for i := range values {
		z := r.read(width)
		all |= z
		values[i] = int64(z>>1) ^ -int64(z&1)
	}
	if uint(bits.Len64(all)) != width {
		d.fail("wider than need be")
	}
	d.skip(&r)
}

// appendRuns appends integers as runs: the value of each, then how many times
// it stands, 0 for all that are left.
func appendRuns(b []byte, values []int64) []byte {
	for i := 0; i < len(values); {
		j := i + 1
		for j < len(values) && values[j] == values[i] {
			j++
		}
		b = binary.AppendUvarint(b, uint64(values[i]))
		count := j - i
		if j == len(values) {
			count = 0
		}
		b = binary.AppendUvarint(b, uint64(count))
		i = j
	}
	return b
}

// runs is the inverse of appendRuns.
func (d *decoder) runs(values []int64, limit uint64) {
	for i := 0; i < len(values); {
		value := d.uvarint()
		j := d.until(i, len(values))
		if value > limit || i > 0 && uint64(values[i-1]) == value {
			d.fail("run out of place")
			return
		}
		for ; i < j; i++ {
			values[i] = int64(value)
		}
		if d.err != nil {
			return
		}
	}
}

// until reads the count of what begins at i of n and returns its end.
func (d *decoder) until(i, n int) int {
	count := d.uvarint()
	switch {
	case d.err != nil, count == 0:
		return n
	case count >= uint64(n-i):
		d.fail("count out of bounds")
		return n
	}
	return i + int(count)
}

// sized returns n of room, or memory where it is too small.
func sized[T any](room []T, n int) []T {
	if n <= len(room) {
		return room[:n]
	}
	return make([]T, n)
}
