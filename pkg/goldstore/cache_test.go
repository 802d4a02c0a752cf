package goldstore

import (
	"math"
	"testing"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

func TestCache(t *testing.T) {
	t.Parallel()
	rowOf := func(id int64, versions int) *row {
		r := &row{key: RowKey{SeriesID: id}, versions: make([]gold.Version, versions), revision: id}
		for i := range r.versions { // values that do not pack
			r.versions[i] = gold.Version{Time: int64(i), Value: math.Pi * float64(i+1), Stamp: reading.Stamp{Sequence: 1}}
		}
		return r
	}
	small := rowOf(0, 1).remember().bytes()
	c := newCache(3 * small)
	for id := range int64(3) {
		c.put(rowOf(id, 1))
	}
	c.get(RowKey{SeriesID: 0})
	c.put(rowOf(3, 1)) // forgets 1, which was used longest ago
	c.put(rowOf(4, 999))
	for id, want := range []bool{true, false, true, true, false} {
		if got := c.get(RowKey{SeriesID: int64(id)}) != nil; got != want {
			t.Errorf("row %d in memory: %v", id, got)
		}
	}
	if c.used != 3*small {
		t.Errorf("%d bytes", c.used)
	}
	grown := rowOf(3, 9) // and one of the others makes room
	c.put(grown)
	got := c.get(RowKey{SeriesID: 3})
	if c.used > c.budget || got == nil {
		t.Fatalf("%d bytes of %d", c.used, c.budget)
	}
	if !gold.Equal(got.versions, grown.versions) || got.revision != grown.revision {
		t.Errorf("remembers %+v", got)
	}
	c.drop(RowKey{SeriesID: 3})
	c.clear()
	if c.used != 0 || len(c.rows) != 0 {
		t.Errorf("%d bytes, %d rows after clear", c.used, len(c.rows))
	}
}
