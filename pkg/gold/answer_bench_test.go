package gold_test

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

// BenchmarkAggregator folds a year of quarter-hourly rows into days; ns/op is
// that of a row.
func BenchmarkAggregator(b *testing.B) {
	for _, m := range []*catalog.Metric{
		{Name: "interval", Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW", Window: 15 * time.Minute},
		{Name: "register", Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW", Window: 15 * time.Minute},
	} {
		b.Run(m.Name, func(b *testing.B) {
			windows, err := gold.FixedWindows(24 * time.Hour)
			if err != nil {
				b.Fatal(err)
			}
			rows := make([]gold.Stored, 365*96)
			for i := range rows {
				start := int64(i) * int64(m.Window)
				v := gold.Version{Time: start, Value: float64(i), Length: m.Window}
				rows[i] = gold.Stored{
					Start: start, Width: m.Window,
					Summary: gold.Summarize(m, start, m.Window, gold.Fold(m, []gold.Version{v}, start+int64(m.Window))),
				}
				rows[i].Revision = 1
			}
			b.ReportAllocs()
			for n := 0; n < b.N; n += len(rows) {
				until := rows[len(rows)-1].End()
				a := gold.NewAggregator(m, windows, until, func(gold.Aggregate) error { return nil })
				for i := range rows {
					if err := a.Add(&rows[i]); err != nil {
						b.Fatal(err)
					}
				}
				if err := a.Finish(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
