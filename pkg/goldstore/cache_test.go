package goldstore

import (
	"testing"

	"github.com/energy-platform/energy/pkg/gold"
)

func TestCache(t *testing.T) {
	t.Parallel()
	rowOf := func(id int64, versions int) *row {
		return &row{key: RowKey{SeriesID: id}, versions: make([]gold.Version, versions)}
	}
	const small = rowBytes + versionBytes
	c := newCache(3 * small)
	for id := range int64(3) {
		c.put(rowOf(id, 1))
	}
	c.get(RowKey{SeriesID: 0})
	c.put(rowOf(3, 1)) // forgets 1, which was used longest ago
	c.put(rowOf(4, 99))
	for id, want := range []bool{true, false, true, true, false} {
		if got := c.get(RowKey{SeriesID: int64(id)}) != nil; got != want {
			t.Errorf("row %d in memory: %v", id, got)
		}
	}
	if c.used != 3*small {
		t.Errorf("%d bytes", c.used)
	}
	c.put(rowOf(3, 2)) // grows, and 0, 2 make room
	if c.used > c.budget || c.get(RowKey{SeriesID: 3}) == nil {
		t.Errorf("%d bytes of %d", c.used, c.budget)
	}
	c.drop(RowKey{SeriesID: 3})
	c.clear()
	if c.used != 0 || len(c.rows) != 0 {
		t.Errorf("%d bytes, %d rows after clear", c.used, len(c.rows))
	}
}
