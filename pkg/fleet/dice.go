package fleet

import (
	"math/bits"
	"math/rand/v2"
)

// dice draws numbers, the same for the same seed and stream. It uses the bare
// generator, whose output is specified, and nothing that a new version of Go
// might draw otherwise.
type dice struct{ pcg rand.PCG }

func newDice(seed, stream uint64) dice {
	const odd = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio spreads consecutive streams
	return dice{pcg: *rand.NewPCG(seed, (stream+1)*odd)}
}

// below returns a number from 0 to n−1; n must be positive.
func (d *dice) below(n int64) int64 {
	high, _ := bits.Mul64(d.pcg.Uint64(), uint64(n))
	return int64(high)
}

// between returns a number from a to b.
func (d *dice) between(a, b int64) int64 { return a + d.below(b-a+1) }

// odd is a probability in units of 2^-32.
type odd uint64

func oddOf(share float64) odd { return odd(share * (1 << 32)) }

// happens reports whether what has these odds happens.
func (d *dice) happens(o odd) bool { return o > 0 && d.pcg.Uint64()>>32 < uint64(o) }

// odds are the Shares as they are drawn.
type odds struct {
	outage, duplicate, late, reordered, corrected, estimated odd
	substituted, withdrawn, malformed, reset, exchange       odd
	again                                                    odd   // a correction is corrected
	longest                                                  int64 // readings lost in the longest outage
}

// Outages are short or long, half and half.
const shortOutage = 3 // readings at most

func newOdds(s *Shares, cadence int64) odds {
	longest := max(16, 3*hourMillis/cadence) // long enough for pairs more than an hour apart
	mean := (float64(1+shortOutage)/2 + float64(1+longest)/2) / 2
	return odds{
		outage:    oddOf(s.Gaps / mean),
		duplicate: oddOf(s.Duplicates), late: oddOf(s.Late), reordered: oddOf(s.Reordered),
		corrected: oddOf(s.Corrected), estimated: oddOf(s.Estimated), substituted: oddOf(s.Substituted),
		withdrawn: oddOf(s.Withdrawn), malformed: oddOf(s.Malformed),
		reset: oddOf(s.Resets), exchange: oddOf(s.Exchanges),
		again:   oddOf(1.0 / 8),
		longest: longest,
	}
}
