// Package goldtest draws random versions for property tests. They come from a
// small universe of times, contents and stamps, so that duplicates, corrections
// and conflicting judgements are frequent.
package goldtest

import (
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// Start is the beginning of the time that versions are drawn from.
var Start = time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC).UnixNano()

// Version draws a version with an event time in [Start, Start+span).
func Version(span time.Duration) *rapid.Generator[gold.Version] {
	return rapid.Custom(func(t *rapid.T) gold.Version {
		step := int64(span) / 8
		exchange := rapid.IntRange(0, 5).Draw(t, "exchange") == 0
		start := 0.0
		if exchange {
			start = rapid.SampledFrom([]float64{0, 0.5, 7}).Draw(t, "exchange start")
		}
		v := gold.Version{
			Exchange: exchange, ExchangeStart: start,
			Time:     Start + step*rapid.Int64Range(0, 7).Draw(t, "time"),
			Value:    rapid.SampledFrom([]float64{0, 0.1, 1, 2.5, -3, 1e9, 1.0 / 3}).Draw(t, "value"),
			Revision: rapid.Uint64Range(0, 2).Draw(t, "revision"),
			Length: rapid.SampledFrom([]time.Duration{
				time.Minute, time.Minute, 0, 20 * time.Minute, 10 * time.Hour,
			}).Draw(t, "length"),
			Flags:    reading.Rules(rapid.SampledFrom([]uint64{0, 0, 0, 1 << 5}).Draw(t, "flags")),
			Epoch:    rapid.Uint64Range(1, 2).Draw(t, "epoch"),
			Quality:  reading.Quality(rapid.IntRange(0, int(reading.Withdrawn)).Draw(t, "quality")),
			Rejected: rapid.IntRange(0, 5).Draw(t, "rejected") == 0,
			Waived:   rapid.IntRange(0, 5).Draw(t, "waived") == 0,
			Stamp:    Stamp().Draw(t, "stamp"),
		}
		if v.Waived { // some time after it was received, now and then at once
			// 0 is not known.
			if n := rapid.Int64Range(-1, 5).Draw(t, "released"); n >= 0 {
				v.Released = v.Stamp.Received + n*int64(time.Second)
			}
		}
		return v
	})
}

// Stamp draws a stamp.
func Stamp() *rapid.Generator[reading.Stamp] {
	return rapid.Custom(func(t *rapid.T) reading.Stamp {
		sequence := rapid.Uint64Range(1, 6).Draw(t, "sequence")
		return reading.Stamp{
			Received: Start + int64(sequence)*int64(time.Second),
			Sequence: sequence,
			Stream:   rapid.Uint32Range(0, 1).Draw(t, "stream"),
			Index:    rapid.Uint32Range(0, 3).Draw(t, "index"),
		}
	})
}
