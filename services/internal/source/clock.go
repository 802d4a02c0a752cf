package source

import (
	"errors"
	"math"
	"time"
)

// wallClock turns local times of one zone into instants. See the package
// comment for how it tells the two occurrences of an hour apart.
type wallClock struct {
	loc    *time.Location
	fixed  bool // the zone never changes its offset
	series map[string]*track

	// Wall-clock seconds in [from, to) are far from any change of the offset.
	from, to, offset int64
}

// track is where a series stands in time.
type track struct {
	last  int64 // Unix seconds of its latest row
	trend int8  // rows that went forward less rows that went back, at most ±8
}

// errSkipped says that a local time does not exist.
var errSkipped = errors.New("the clock was put forward over this time")

func newWallClock(loc *time.Location) *wallClock {
	start, end := time.Unix(0, 0).In(loc).ZoneBounds()
	return &wallClock{loc: loc, fixed: start.IsZero() && end.IsZero(), series: map[string]*track{}}
}

// instant returns the Unix seconds of a local time, given as if it were UTC.
func (c *wallClock) instant(wall int64, series []byte) (int64, error) {
	early, late, ok := c.candidates(wall)
	if !ok {
		return 0, errSkipped
	}
	if c.fixed {
		return early, nil
	}
	t := c.series[string(series)]
	if t == nil {
		t = &track{last: math.MinInt64}
		c.series[string(series)] = t
	}
	return t.step(early, late), nil
}

// candidates returns the instants, one or two, at which the zone's clocks show
// wall; ok is false when they never do.
func (c *wallClock) candidates(wall int64) (early, late int64, ok bool) {
	if c.from <= wall && wall < c.to {
		return wall - c.offset, wall - c.offset, true
	}
	near := time.Unix(wall, 0).In(c.loc)
	_, offset := near.Zone()
	near = time.Unix(wall-int64(offset), 0).In(c.loc)
	start, end := near.ZoneBounds()
	early, late = math.MaxInt64, math.MinInt64
	for _, t := range [...]time.Time{near, start.Add(-1), end} {
		if t.IsZero() || t.Equal(time.Time{}.Add(-1)) {
			continue
		}
		_, offset := t.In(c.loc).Zone()
		at := wall - int64(offset)
		if _, there := time.Unix(at, 0).In(c.loc).Zone(); there == offset {
			early, late = min(early, at), max(late, at)
		}
	}
	if early == late {
		c.remember(wall, wall-early, start, end)
	}
	return early, late, early <= late
}

// remember notes the span around wall in which the offset holds, two days short
// of its ends.
func (c *wallClock) remember(wall, offset int64, start, end time.Time) {
	const margin = 48 * 60 * 60
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !start.IsZero() {
		from = start.Unix() + offset + margin
	}
	if !end.IsZero() {
		to = end.Unix() + offset - margin
	}
	if from <= wall && wall < to {
		c.from, c.to, c.offset = from, to, offset
	}
}

// step chooses between two instants, which are often the same, and moves on.
func (t *track) step(early, late int64) int64 {
	at := early
	const near = 12 * 60 * 60 // a series that comes from further off starts anew
	switch {
	case t.last == math.MinInt64 || early == late:
	case t.trend < 0:
		if t.last > late || t.last < early-near {
			at = late
		}
	case t.last >= early && t.last < late+near:
		at = late
	}
	if t.last != math.MinInt64 {
		switch {
		case at > t.last:
			t.trend = min(t.trend+1, 8)
		case at < t.last:
			t.trend = max(t.trend-1, -8)
		}
	}
	t.last = at
	return at
}
