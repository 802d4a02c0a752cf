package gold_test

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// BenchmarkNewRow folds a row of a minute of readings a second, as every flush does
// that changes it.
func BenchmarkNewRow(b *testing.B) {
	c := builtIn(b)
	key := gold.Key{Series: reading.Series{EntityID: "m", Metric: "active_power", Unit: "kW"}, Width: time.Minute}
	versions := make([]gold.Version, 60)
	for i := range versions {
		versions[i] = gold.Version{
			Time: int64(i) * int64(time.Second), Value: float64(i%7) / 8, Stamp: reading.Stamp{Received: 1, Sequence: uint64(i)},
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		gold.NewRow(c, key, versions)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(versions)), "ns/reading")
}
