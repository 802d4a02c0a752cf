package fleet

import "math/bits"

// maxGap is how far the readings of a linear gauge may be apart, ms.
const maxGap = hourMillis

// pair is two neighbouring readings that count and the energy from the left one
// on: R(t) − R(left), with R the energy accumulated up to a time. Of registers and
// linear gauges it is what the time between them adds, of intervals and means what
// the left one covers, which ends before the right one. The pair of a series'
// first reading has no left one and adds nothing.
type pair struct {
	left, right     taken
	kind            Kind
	end             int64 // of the time that is accounted for; left.time if none is
	step            int64 // of a register, in thousandths
	reset, exchange uint64
}

// newPair returns the pair of a reading and the one before it, which is of no
// fate if there is none.
func (f *Fleet) newPair(s *Series, left, right *taken) pair {
	p := pair{left: *left, right: *right, kind: s.Kind, end: left.time}
	if left.fate != counts {
		return p
	}
	switch s.Kind {
	case Register:
		p.end = right.time
		p.advance(s, &f.config.Registers)
	case Linear:
		if right.time-left.time <= maxGap {
			p.end = right.time
		}
	case Interval, Mean:
		p.end = left.time + s.Length.Milliseconds()
	default:
	}
	return p
}

// advance reads the step of a register.
func (p *pair) advance(s *Series, declared *Registers) {
	apart := p.right.time - p.left.time
	possible := func(amount int64) bool { return amount*hourMillis <= s.maxRate*1000*apart }
	d := p.right.value - p.left.value
	round := d + s.modulus
	switch {
	case d >= 0 && possible(d):
		p.step = d
	case declared.Rollover > 0 && d < 0 && round >= 0 && possible(round) && 2*round <= s.modulus:
		p.step, p.reset = round, 1
	case declared.ResetToZero && d < 0 && possible(p.right.value):
		p.step, p.reset = p.right.value, 1
	default:
		p.exchange = 1
	}
}

// until returns R(t) − R(left) in the energy scale of the series, for t from the
// left reading to the end: of a register and an interval the step in proportion to
// the time, of a mean value × time, of a linear gauge twice the area under the
// line.
func (p *pair) until(t int64) exact {
	span, gone := p.end-p.left.time, t-p.left.time
	switch p.kind {
	case Register:
		return quotient(p.step, gone, span)
	case Interval:
		return quotient(p.left.value, gone, span)
	case Mean:
		return exact{whole: p.left.value * gone}
	default:
		e := quotient(p.right.value-p.left.value, gone*gone, span)
		e.whole += 2 * p.left.value * gone
		return e
	}
}

// exact is an integer and a sum of fractions, each below one.
type exact struct {
	whole    int64
	fraction float64
}

func (e *exact) add(x exact) {
	e.whole += x.whole
	e.fraction += x.fraction
}

func (e *exact) subtract(x exact) {
	e.whole -= x.whole
	e.fraction -= x.fraction
}

func (e *exact) float() float64 { return float64(e.whole) + e.fraction }

// quotient returns a×b/c. b is not negative, c is positive, and the quotient has
// 63 bits.
func quotient(a, b, c int64) exact {
	sign := int64(1)
	if a < 0 {
		a, sign = -a, -1
	}
	high, low := bits.Mul64(uint64(a), uint64(b))
	whole, rest := bits.Div64(high, low, uint64(c))
	return exact{sign * int64(whole), float64(sign) * (float64(rest) / float64(c))}
}
