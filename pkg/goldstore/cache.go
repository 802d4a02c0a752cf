package goldstore

import (
	"container/list"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// RowKey names a base row by its series' id.
type RowKey struct {
	SeriesID int64
	Start    int64 // Unix ns
	Width    time.Duration
}

// row is a base row as the database has it, as far as the writer knows.
type row struct {
	key      RowKey
	versions []gold.Version // normalized
	stats    gold.Partial
	standing gold.Standing
	epoch    uint64
	revision int64
}

const (
	versionBytes = 88  // of a gold.Version
	rowBytes     = 672 // of a row with its places in the cache, measured generously
)

func (r *row) bytes() int64 { return rowBytes + versionBytes*int64(cap(r.versions)) }

// cache keeps the rows used last within a budget of bytes. Rows in it are
// never changed, only replaced.
type cache struct {
	budget, used int64
	rows         map[RowKey]*list.Element // of *row
	recent       *list.List               // used last first
}

func newCache(budget int64) *cache {
	return &cache{budget: budget, rows: make(map[RowKey]*list.Element), recent: list.New()}
}

// get returns the row, nil when it is not in memory.
func (c *cache) get(k RowKey) *row {
	e, ok := c.rows[k]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*row)
}

// put remembers the row and forgets those that no longer fit.
func (c *cache) put(r *row) {
	c.drop(r.key)
	if r.bytes() > c.budget {
		return
	}
	c.rows[r.key] = c.recent.PushFront(r)
	c.used += r.bytes()
	for c.used > c.budget {
		c.drop(c.recent.Back().Value.(*row).key)
	}
}

func (c *cache) drop(k RowKey) {
	e, ok := c.rows[k]
	if !ok {
		return
	}
	delete(c.rows, k)
	c.used -= c.recent.Remove(e).(*row).bytes()
}

func (c *cache) clear() {
	clear(c.rows)
	c.recent.Init()
	c.used = 0
}
