package gold

import (
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// cover is a reading that covers the span [start, end). Its energy lies evenly
// over the span, so that any window gets energy × overlap ÷ length: the shares of
// any partition of time sum to the whole. A reading without a length has its
// energy where it starts.
type cover struct {
	start, end int64 // Unix ns
	value      float64
	quality    reading.Quality
	standing   Standing // since its row was first received, and since it is what it is
}

func coverOf(v *Version) cover {
	return cover{v.Time, v.Time + max(0, int64(v.Length)), v.Value, v.Quality, Standing{}}
}

// energy returns what of the reading's energy lies in [from, to).
func (c *cover) energy(m *catalog.Metric, from, to int64) float64 {
	if c.start == c.end && m.Kind == catalog.Interval && from <= c.start && c.start < to {
		return c.value
	}
	from, to = max(from, c.start), min(to, c.end)
	switch {
	case from >= to || m.EnergyUnit == "":
		return 0
	case m.Kind == catalog.Interval:
		return float64(c.value * (float64(to-from) / float64(c.end-c.start)))
	default:
		return float64(c.value*float64(to-from)) / nanosPerHour
	}
}
