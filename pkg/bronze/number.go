package bronze

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// maxExponent bounds exponents as they are read; beyond it every number is 0
// or out of range whatever its digits.
const maxExponent = 1 << 30

// Powers of ten that float64 and uint64 hold exactly.
var (
	floatPowers = [...]float64{
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
	}
	wholePowers = [...]uint64{
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
		1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	}
)

// maxDigits is how many decimal digits always fit a uint64.
const maxDigits = 19

// decimal is a number as written: ±0.d₁d₂d₃… × 10^point, d₁ ≠ 0.
type decimal struct {
	mantissa uint64 // the first digits, from d₁ on, as an integer
	digits   int    // how many they are, at most maxDigits; 0 for zero
	point    int
	more     bool // further digits follow that are not all 0
	negative bool
}

// parseDecimal reads an optional sign, digits with at most one point, and an
// optional exponent: every JSON number, and besides "+1", "007", ".5", "5.".
func parseDecimal(b []byte) (d decimal, ok bool) {
	i := 0
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		d.negative = b[0] == '-'
		i++
	}
	start := i
	for ; i < len(b) && isDigit(b[i]); i++ {
		if d.push(b[i]); d.digits > 0 {
			d.point++
		}
	}
	seen := i - start
	if i < len(b) && b[i] == '.' {
		i++
		start = i
		for ; i < len(b) && isDigit(b[i]); i++ {
			if d.push(b[i]); d.digits == 0 {
				d.point--
			}
		}
		seen += i - start
	}
	if seen == 0 {
		return d, false
	}
	if i == len(b) {
		return d, true
	}
	exponent, ok := parseExponent(b[i:])
	d.point += exponent
	return d, ok
}

// push appends a digit.
func (d *decimal) push(c byte) {
	switch {
	case d.digits == 0 && c == '0':
	case d.digits < maxDigits:
		d.mantissa = d.mantissa*10 + uint64(c-'0')
		d.digits++
	case c != '0':
		d.more = true
	}
}

// parseExponent reads "e", an optional sign and digits.
func parseExponent(b []byte) (int, bool) {
	if b[0]|0x20 != 'e' {
		return 0, false
	}
	b = b[1:]
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	n := 0
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = min(n*10+int(c-'0'), maxExponent)
	}
	if negative {
		n = -n
	}
	return n, len(b) > 0
}

// parseFloat returns the float64 nearest to the number b, ±Inf beyond the
// range; bit for bit what strconv.ParseFloat returns.
//
// A mantissa below 2^53 and a power of ten up to 10^22 are exact, so that
// their product or quotient is rounded once (Clinger 1990, "How to read
// floating point numbers accurately").
func parseFloat(b []byte) (float64, bool) {
	d, ok := parseDecimal(b)
	if !ok {
		return 0, false
	}
	exponent := d.point - d.digits
	if d.digits == 0 {
		exponent = 0
	}
	if d.more || d.mantissa >= 1<<53 || exponent < -22 || exponent > 22 {
		f, _ := strconv.ParseFloat(string(b), 64) // its only error here is the range, which f tells
		return f, true
	}
	f := float64(d.mantissa)
	if exponent < 0 {
		f /= floatPowers[-exponent]
	} else {
		f *= floatPowers[exponent]
	}
	if d.negative {
		f = -f
	}
	return f, true
}

// parseNonFinite reads "NaN", "Infinity" and "Inf" with an optional sign and
// in any case: producers without a measurement write them, and silver has the
// rule that names them.
func parseNonFinite(b []byte) (float64, bool) {
	word, sign := b, 1
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		word = b[1:]
		if b[0] == '-' {
			sign = -1
		}
	}
	switch {
	case len(word) > len("infinity"):
		return 0, false
	case strings.EqualFold(string(word), "nan"):
		return math.NaN(), true
	case strings.EqualFold(string(word), "infinity"), strings.EqualFold(string(word), "inf"):
		return math.Inf(sign), true
	}
	return 0, false
}

// parseUint returns the whole number b, which may be written as 7, 7.0 or 7e0.
func parseUint(b []byte) (uint64, bool) {
	whole, fraction, _ := bytes.Cut(b, []byte("."))
	if len(bytes.Trim(fraction, "0")) > 0 {
		whole = b
	}
	if n, err := strconv.ParseUint(string(whole), 10, 64); err == nil {
		return n, true
	}
	d, ok := parseDecimal(b)
	if !ok {
		return 0, false
	}
	n, exact, fits := d.scaled(0)
	return n, exact && fits && (n == 0 || !d.negative)
}

// scaled returns |d| × 10^shift without its fraction, whether that is exact,
// and whether it fits in maxDigits digits.
func (d *decimal) scaled(shift int) (whole uint64, exact, fits bool) {
	length := d.point + shift // digits before the point
	switch {
	case d.digits == 0:
		return 0, true, true
	case length > maxDigits:
		return 0, false, false
	case length <= 0:
		return 0, false, true
	case length < d.digits:
		power := wholePowers[d.digits-length]
		return d.mantissa / power, d.mantissa%power == 0 && !d.more, true
	}
	return d.mantissa * wholePowers[length-d.digits], !d.more, true
}
