package catalog

import "fmt"

// Unit is a unit of measure. A value in it, times Num, divided by Den, is in
// its dimension's base unit; the two are integers so that a conversion is one
// multiplication and one division.
type Unit struct {
	Symbol    string
	Dimension string
	Num, Den  float64
	Integral  string // unit of this unit times one hour, if it has one
}

// Conversion turns values of one unit into another of its dimension.
type Conversion struct{ num, den float64 }

var identity = Conversion{num: 1, den: 1}

// Apply returns the value in the target unit.
func (c Conversion) Apply(value float64) float64 {
	if c.num == c.den {
		return value
	}
	return float64(value*c.num) / c.den
}

// maxExact bounds the integers that float64 holds exactly.
const maxExact = 1 << 53

// convert returns the conversion from u to v, reduced to lowest terms.
func convert(u, v Unit) (Conversion, error) {
	if u.Dimension != v.Dimension {
		return Conversion{}, fmt.Errorf("%s is %s, %s is %s", u.Symbol, u.Dimension, v.Symbol, v.Dimension)
	}
	num, den := u.Num*v.Den, u.Den*v.Num
	if num >= maxExact || den >= maxExact {
		return Conversion{}, fmt.Errorf("factor from %s to %s is not exact", u.Symbol, v.Symbol)
	}
	d := gcd(uint64(num), uint64(den))
	return Conversion{num: num / float64(d), den: den / float64(d)}, nil
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
