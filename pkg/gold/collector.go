package gold

import (
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Collector gathers versions by series and base window. The zero value is not
// ready for use; make one with NewCollector.
//
// It keeps its buffers, so that versions of series that it knows cost no allocation.
type Collector struct {
	catalog  *catalog.Catalog
	lanes    map[reading.Series]*Lane
	windows  map[place]int32 // places in keys
	keys     []Key
	counts   []int32 // versions, by window
	arrived  arrivals
	windowOf []int32 // of each that arrived
	taken    space   // of the groups of the last Take
	groups   []Group
	takes    uint64
}

// place names a window by the series' lane.
type place struct {
	lane  *Lane
	start int64
}

// maxLanes bounds the series that a Collector remembers.
const maxLanes = 1 << 16

// NewCollector returns an empty collector that takes base windows from c.
func NewCollector(c *catalog.Catalog) *Collector { return new(Slabs).NewCollector(c) }

// NewCollector returns an empty collector that takes base windows from c.
func (s *Slabs) NewCollector(c *catalog.Catalog) *Collector {
	return &Collector{
		catalog: c, lanes: make(map[reading.Series]*Lane), windows: make(map[place]int32),
		arrived: arrivals{slabs: s}, taken: space{slabs: s}, takes: 1,
	}
}

// Lane is where the versions of one series come in.
type Lane struct {
	of     *Collector
	series reading.Series
	width  time.Duration
	start  int64  // of the last version's window
	window int32  // its place in keys
	takes  uint64 // of the collector then: another Take, and the window is gone
}

// Lane returns the lane of a series. It is valid until the next Take.
func (c *Collector) Lane(s reading.Series) *Lane {
	l, ok := c.lanes[s]
	if !ok {
		l = &Lane{of: c, series: s, width: c.catalog.Metric(s).Window}
		c.lanes[s] = l
	}
	return l
}

// Add puts one version into its base window.
func (l *Lane) Add(v *Version) {
	c := l.of
	if start := WindowStart(v.Time, l.width); start != l.start || l.takes != c.takes {
		l.start, l.takes = start, c.takes
		var ok bool
		if l.window, ok = c.windows[place{l, start}]; !ok {
			l.window = int32(len(c.keys))
			c.windows[place{l, start}] = l.window
			c.keys = append(c.keys, Key{Series: l.series, Start: start, Width: l.width})
			c.counts = append(c.counts, 0)
		}
	}
	c.counts[l.window]++
	c.arrived.add(v)
	c.windowOf = append(c.windowOf, l.window)
}

// Add puts one version of a series into its base window.
func (c *Collector) Add(s reading.Series, v Version) { c.Lane(s).Add(&v) }

// Len returns the number of versions added since the last Take.
func (c *Collector) Len() int { return len(c.windowOf) }

// Take returns the groups in key order and empties the collector. They are valid
// until the next Take or Release.
func (c *Collector) Take() []Group {
	c.Release()
	c.groups = slices.Grow(c.groups, len(c.keys))
	for i, key := range c.keys {
		c.groups = append(c.groups, Group{Key: key, Versions: c.taken.of(int(c.counts[i]))})
	}
	for i, window := range c.windowOf {
		g := &c.groups[window]
		g.Versions = append(g.Versions, *c.arrived.at(i))
	}
	for i := range c.groups {
		c.groups[i].Versions = Normalize(c.groups[i].Versions)
	}
	slices.SortFunc(c.groups, func(a, b Group) int { return a.Key.Compare(b.Key) })
	c.empty()
	return c.groups
}

// Release ends the use of what Take returned.
func (c *Collector) Release() {
	c.taken.release()
	clear(c.groups)
	c.groups = c.groups[:0]
}

// empty forgets what was added.
func (c *Collector) empty() {
	c.takes++
	clear(c.windows)
	c.keys, c.counts, c.windowOf = c.keys[:0], c.counts[:0], c.windowOf[:0]
	c.arrived.release()
	if len(c.lanes) > maxLanes {
		clear(c.lanes)
	}
}
