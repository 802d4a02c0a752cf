package gold_test

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// BenchmarkFolds answers a year of days in Paris from packed hours, as a query
// does; ns/op is that of the year.
func BenchmarkFolds(b *testing.B) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		b.Fatal(err)
	}
	windows, err := gold.CalendarWindows(gold.Day, paris)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range []*catalog.Metric{
		{Name: "interval", Kind: catalog.Interval, EnergyUnit: "kWh", PowerUnit: "kW", Window: 15 * time.Minute},
		{Name: "register", Kind: catalog.Register, EnergyUnit: "kWh", PowerUnit: "kW", Window: 15 * time.Minute},
	} {
		b.Run(m.Name, func(b *testing.B) {
			days := packedYear(m)
			until := time.Date(2026, 1, 1, 0, 0, 0, 0, paris).UnixNano()
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				a := gold.NewAggregator(m, windows, until, func(gold.Aggregate) error {
					n++
					return nil
				})
				r := gold.NewFoldReader()
				for _, hours := range days {
					if err := r.Read(hours, gold.HourSpan, a.Add); err != nil {
						b.Fatal(err)
					}
				}
				if err := a.Finish(); err != nil || n != 365 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// packedYear returns the packed hours of each day of a year of quarter hours.
func packedYear(m *catalog.Metric) (days [][]byte) {
	index := 0.0
	for day := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() == 2025; day = day.AddDate(0, 0, 1) {
		rows := make([]gold.Stored, 96)
		for i := range rows {
			start := day.UnixNano() + int64(i)*int64(m.Window)
			received := start + int64(time.Minute) + int64(i)
			v := gold.Version{Time: start, Value: float64(i%37) / 10, Length: m.Window, Quality: reading.Actual}
			if m.Kind == catalog.Register {
				v.Value, v.Length = index, 0
				index += float64(i%37) / 10
			}
			stats := gold.Fold(m, []gold.Version{v}, start+int64(m.Window))
			rows[i] = gold.Stored{Start: start, Width: m.Window, Summary: gold.Summarize(m, start, m.Window, stats)}
			rows[i].Revision, rows[i].Changed = 1, time.Unix(0, received+1e6)
			rows[i].Standing = gold.Standing{
				FirstReceived: received, Settled: received, FirstSettled: received, LastSettled: received,
			}
		}
		hours, _ := gold.Parents(m, rows)
		days = append(days, gold.AppendFolds(nil, hours))
	}
	return days
}
