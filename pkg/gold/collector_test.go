package gold_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// Collectors that share memory give what a map of windows gives, take after take, and
// of neither another's versions.
func TestCollectorsGatherWindows(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	rapid.Check(t, func(t *rapid.T) {
		slabs := new(gold.Slabs)
		collectors := []*gold.Collector{slabs.NewCollector(c), slabs.NewCollector(c)}
		want := []map[gold.Key][]gold.Version{{}, {}}
		for range rapid.IntRange(1, 6).Draw(t, "takes") {
			i := rapid.IntRange(0, 1).Draw(t, "collector")
			one := collectors[i]
			// Now and then more than a slab holds.
			n := rapid.SampledFrom([]int{0, 1, 7, 40, 700, 1500}).Draw(t, "versions")
			series := make([]reading.Series, rapid.IntRange(1, 5).Draw(t, "series"))
			for k := range series {
				series[k] = reading.Series{EntityID: fmt.Sprint("m", k), Metric: "active_power", Unit: "kW"}
			}
			step := rapid.Int64Range(1, int64(10*time.Minute)).Draw(t, "step")
			for k := range n {
				v := gold.Version{Time: int64(k%97) * step, Value: float64(k), Stamp: reading.Stamp{Sequence: uint64(k)}}
				s := series[k%len(series)]
				width := c.Metric(s).Window
				key := gold.Key{Series: s, Start: gold.WindowStart(v.Time, width), Width: width}
				want[i][key] = append(want[i][key], v)
				one.Add(s, v)
			}
			total := 0
			for _, versions := range want[i] {
				total += len(versions)
			}
			if one.Len() != total {
				t.Fatalf("%d versions, want %d", one.Len(), total)
			}
			got := one.Take()
			other := collectors[1-i]
			other.Add(series[0], gold.Version{Value: -1}) // may not reach what was taken
			want[1-i][gold.Key{Series: series[0], Width: c.Metric(series[0]).Window}] = append(
				want[1-i][gold.Key{Series: series[0], Width: c.Metric(series[0]).Window}], gold.Version{Value: -1})
			keys := slices.SortedFunc(maps.Keys(want[i]), gold.Key.Compare)
			if len(got) != len(keys) {
				t.Fatalf("%d groups, want %d", len(got), len(keys))
			}
			for k, key := range keys {
				if diff := cmp.Diff(gold.Group{Key: key, Versions: gold.Normalize(want[i][key])}, got[k]); diff != "" {
					t.Fatalf("group %d (-want +got):\n%s", k, diff)
				}
			}
			clear(want[i])
		}
	})
}

// A collector that knows its series takes versions in without an allocation.
func TestCollectingAllocatesNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts all goroutines'
	collector := gold.NewCollector(builtIn(t))
	lanes := make([]*gold.Lane, 50)
	begin := int64(0)
	batch := func() {
		for i := range lanes {
			lanes[i] = collector.Lane(reading.Series{EntityID: names[i], Metric: "active_power", Unit: "kW"})
		}
		for k := range 5000 {
			v := gold.Version{Time: begin + int64(k/len(lanes))*int64(time.Second), Value: float64(k)}
			lanes[k%len(lanes)].Add(&v)
		}
		begin += int64(100 * time.Second)
		collector.Take()
		collector.Release()
	}
	for range 5 {
		batch()
	}
	if n := testing.AllocsPerRun(20, batch); n > 50 { // the pool of slabs loses some under the race detector
		t.Errorf("%v allocations a batch of 5,000 versions", n)
	}
}

func builtIn(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var names = func() (all [50]string) {
	for i := range all {
		all[i] = fmt.Sprint("meter-", i)
	}
	return all
}()
