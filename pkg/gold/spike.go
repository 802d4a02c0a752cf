package gold

import (
	"math"
	"slices"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// minSpikeSamples is how many readings a row must have for one to be a spike
// among them.
const minSpikeSamples = 5

// deviationsOfMAD makes the median absolute deviation of normally distributed
// values their standard deviation: 1/Φ⁻¹(3/4).
const deviationsOfMAD = 1.4826022185056018

// RowWinners returns the winners of a row's normalized versions, with those
// flagged that are spikes.
//
// A spike is further from the median of the row's winners than the metric's
// spike parameter times their robust standard deviation (see Hampel, "The
// Influence Curve and its Role in Robust Estimation", 1974). Where more than
// half of the values are equal that deviation is 0 and none is. A full window,
// whose versions are stored in parts, is looked at as a whole.
//
// The winners are not to be changed: they may be the versions themselves.
func RowWinners(m *catalog.Metric, versions []Version) []Version {
	winners, shared := versions, uncontested(versions)
	if !shared {
		winners = Winners(make([]Version, 0, len(versions)), versions)
	}
	if m.Spike <= 0 || len(winners) < minSpikeSamples {
		return winners
	}
	values := make([]float64, len(winners))
	for i := range winners {
		values[i] = winners[i].Value
	}
	center := median(values)
	for i := range winners {
		values[i] = math.Abs(winners[i].Value - center)
	}
	limit := m.Spike * (deviationsOfMAD * median(values))
	for i := range winners {
		if limit > 0 && math.Abs(winners[i].Value-center) > limit {
			if shared {
				winners, shared = slices.Clone(winners), false
			}
			winners[i].Flags = winners[i].Flags.With(reading.Spike)
		}
	}
	return winners
}

// uncontested reports whether all versions of a normalized set win.
func uncontested(versions []Version) bool {
	for i := range versions {
		v := &versions[i]
		if v.Rejected || v.Quality == reading.Withdrawn || i > 0 && versions[i-1].Time == v.Time {
			return false
		}
	}
	return true
}

// median sorts values and returns their median.
func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return values[middle-1]/2 + values[middle]/2
}
