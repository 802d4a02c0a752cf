package gold

import (
	"math"
	"math/bits"
)

// Values are decimal integers over one power of ten where each comes back with
// the same bits: the least exponent with which they do, then the integers as
// first differences (see appendInts). Otherwise they are xorValues, then each
// as the exclusive or with the one before, after Pelkonen et al., "Gorilla: A
// Fast, Scalable, In-Memory Time Series Database" (2015): the first in 64 bits,
// then a bit 0 for an equal one, 1 for another; of that, a bit 0 and the bits
// inside the last window where they fit into it, else a bit 1 and a new window:
// its leading zeros and its width less one in 6 bits each, then its bits. A new
// window is as narrow as it can be.
const (
	xorValues   = 0xff
	maxExponent = 15
	maxMantissa = 1 << 53
)

// appendValues appends values, nothing when there are none; ints is room for as
// many integers.
func appendValues(b []byte, values []float64, ints []int64) []byte {
	if len(values) == 0 {
		return b
	}
	ints = ints[:len(values)]
	if exponent, ok := decimals(values, ints); ok {
		return appendInts(append(b, exponent), 1, ints)
	}
	return appendXOR(append(b, xorValues), values)
}

// decimals writes values as integers over the least power of ten that brings
// each back with the same bits; ok is false when none does.
func decimals(values []float64, to []int64) (exponent byte, ok bool) {
	for exponent = range maxExponent + 1 {
		if scaled(values, to, math.Pow10(int(exponent))) {
			return exponent, true
		}
	}
	return 0, false
}

// scaled writes values as integers over scale and reports whether each comes
// back.
func scaled(values []float64, to []int64, scale float64) bool {
	for i, v := range values {
		m := math.RoundToEven(v * scale)
		if !(math.Abs(m) < maxMantissa) || math.Float64bits(m/scale) != math.Float64bits(v) {
			return false
		}
		to[i] = int64(m)
	}
	return true
}

// values is the inverse of appendValues.
func (d *decoder) values(values []float64, ints []int64) {
	if len(values) == 0 {
		return
	}
	ints = ints[:len(values)]
	exponent := d.byte()
	switch {
	case exponent == xorValues:
		d.xor(values)
	case exponent > maxExponent:
		d.fail("exponent out of range")
		return
	default:
		d.ints(1, ints)
		scale := math.Pow10(int(exponent))
		for i, m := range ints {
			values[i] = float64(m) / scale
			if math.RoundToEven(values[i]*scale) != float64(m) || m <= -maxMantissa || m >= maxMantissa {
				d.fail("integer out of place")
			}
		}
	}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) || v == 0 && math.Signbit(v) {
			d.fail("a value that no version has")
		}
	}
	if least, ok := decimals(values, ints); ok != (exponent != xorValues) || ok && least != exponent {
		d.fail("another exponent than the least")
	}
}

// window is the bits of a number between zeros.
type window struct{ leading, width uint }

// windowOf returns the narrowest window that holds all bits of x, which is not 0.
func windowOf(x uint64) window {
	leading := uint(bits.LeadingZeros64(x))
	return window{leading, 64 - leading - uint(bits.TrailingZeros64(x))}
}

func (w window) holds(x uint64) bool {
	return w.width > 0 && uint(bits.LeadingZeros64(x)) >= w.leading && x<<(w.leading+w.width) == 0
}

// shift is how far the window is above the lowest bit.
func (w window) shift() uint { return 64 - w.leading - w.width }

func appendXOR(b []byte, values []float64) []byte {
	w := bitWriter{b: b}
	last := math.Float64bits(values[0])
	w.write(last, 64)
	var in window
	for _, v := range values[1:] {
		x := math.Float64bits(v) ^ last
		last ^= x
		switch {
		case x == 0:
			w.write(0, 1)
			continue
		case in.holds(x):
			w.write(0b01, 2)
		default:
			in = windowOf(x)
			w.write(0b11, 2)
			w.write(uint64(in.leading), 6)
			w.write(uint64(in.width-1), 6)
		}
		w.write(x>>in.shift(), in.width)
	}
	return w.end()
}

// xor is the inverse of appendXOR.
func (d *decoder) xor(values []float64) {
	r := bitReader{b: d.rest}
	last := r.read(64)
	values[0] = math.Float64frombits(last)
	var in window
	for i := 1; i < len(values) && !r.short; i++ {
		if r.read(1) == 1 {
			before, fresh := in, r.read(1) == 1
			if fresh {
				in = window{uint(r.read(6)), uint(r.read(6)) + 1}
			}
			if in.width == 0 || in.leading+in.width > 64 {
				d.fail("window out of bounds")
				return
			}
			x := r.read(in.width) << in.shift()
			if x == 0 || fresh && (before.holds(x) || windowOf(x) != in) {
				d.fail("window out of place")
				return
			}
			last ^= x
		}
		values[i] = math.Float64frombits(last)
	}
	d.skip(&r)
}
