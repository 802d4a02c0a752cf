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
	// samples and stamps are the versions as gold.Encode gives them, nil as long as
	// nobody has encoded them.
	samples, stamps []byte
	stats           gold.Partial
	standing        gold.Standing
	epoch           uint64
	revision        int64
}

// remembered is a row in memory: its versions as they are stored take a twentieth of
// the room, and are nothing that garbage collection has to look into.
type remembered struct {
	key             RowKey
	samples, stamps []byte
	stats           gold.Partial
	standing        gold.Standing
	epoch           uint64
	revision        int64
}

// rowBytes is what a remembered row takes besides its versions, with its places in the
// cache, measured generously.
const rowBytes = 672

func (r *remembered) bytes() int64 { return rowBytes + int64(cap(r.samples)+cap(r.stamps)) }

// remember returns the row as it is kept in memory.
func (r *row) remember() *remembered {
	if r.samples == nil {
		r.samples, r.stamps = gold.Encode(r.key.Start, r.versions)
	}
	return &remembered{
		key: r.key, samples: r.samples, stamps: r.stamps,
		stats: r.stats, standing: r.standing, epoch: r.epoch, revision: r.revision,
	}
}

// row returns the row that was remembered.
func (r *remembered) row() (*row, error) {
	versions, err := gold.Decode(r.key.Start, r.samples, r.stamps)
	if err != nil {
		return nil, err
	}
	return &row{
		key: r.key, versions: versions, samples: r.samples, stamps: r.stamps,
		stats: r.stats, standing: r.standing, epoch: r.epoch, revision: r.revision,
	}, nil
}

// cache keeps the rows used last within a budget of bytes. Rows in it are
// never changed, only replaced.
type cache struct {
	budget, used int64
	rows         map[RowKey]*list.Element // of *remembered
	recent       *list.List               // used last first
}

func newCache(budget int64) *cache {
	return &cache{budget: budget, rows: make(map[RowKey]*list.Element), recent: list.New()}
}

// off reports whether the cache keeps nothing.
func (c *cache) off() bool { return c.budget < rowBytes }

// get returns the row, nil when it is not in memory.
func (c *cache) get(k RowKey) *row {
	e, ok := c.rows[k]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(e)
	r, err := e.Value.(*remembered).row()
	if err != nil { // then the database has to tell
		c.drop(k)
		return nil
	}
	return r
}

// put remembers the row and forgets those that no longer fit.
func (c *cache) put(r *row) {
	c.drop(r.key)
	if c.off() {
		return
	}
	m := r.remember()
	if m.bytes() > c.budget {
		return
	}
	c.rows[m.key] = c.recent.PushFront(m)
	c.used += m.bytes()
	for c.used > c.budget {
		c.drop(c.recent.Back().Value.(*remembered).key)
	}
}

func (c *cache) drop(k RowKey) {
	e, ok := c.rows[k]
	if !ok {
		return
	}
	delete(c.rows, k)
	c.used -= c.recent.Remove(e).(*remembered).bytes()
}

func (c *cache) clear() {
	clear(c.rows)
	c.recent.Init()
	c.used = 0
}
