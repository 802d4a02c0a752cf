package gold

import (
	"cmp"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Key names a base row: the readings of a series with event times in
// [Start, Start+Width).
type Key struct {
	Series reading.Series
	Start  int64 // Unix ns
	Width  time.Duration
}

// Compare orders keys by series, start and width.
func (k Key) Compare(l Key) int {
	return cmp.Or(
		k.Series.Compare(l.Series),
		cmp.Compare(k.Start, l.Start),
		cmp.Compare(k.Width, l.Width),
	)
}

// Row is a base row: the versions of a window and the statistics of its
// winners.
type Row struct {
	Key
	Versions []Version // normalized
	Stats    Partial
	Standing Standing
	Epoch    uint64 // catalogue epoch since which the metric has the parameters that the statistics follow
}

// NewRow returns the row that a normalized set of versions makes.
func NewRow(c *catalog.Catalog, key Key, versions []Version) Row {
	m := c.Metric(key.Series)
	return Row{
		Key:      key,
		Versions: versions,
		Stats:    Fold(m, RowWinners(m, versions), key.Start+int64(key.Width)),
		Standing: Stand(c.History(), versions),
		Epoch:    m.Folded,
	}
}

// WindowStart returns the start of the fixed window of that width that holds
// t. Windows count from the Unix epoch; both are in Unix ns.
func WindowStart(t int64, width time.Duration) int64 {
	w := int64(width)
	start := t - t%w
	if t < start {
		start -= w
	}
	return start
}

// Group is the versions of one base window, normalized.
type Group struct {
	Key
	Versions []Version
}
