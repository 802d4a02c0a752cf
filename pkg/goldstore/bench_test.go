package goldstore

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// A flush of the benchmarks holds this many rows, one a series.
const benchRows = 500

// benchGroups returns a minute's reading of benchRows series.
func benchGroups(c *catalog.Catalog, s reading.Series, minute int) []gold.Group {
	collector := gold.NewCollector(c)
	for i := range benchRows {
		s.EntityID = fmt.Sprintf("meter-%06d", i)
		v := version(time.Duration(minute)*time.Minute, 1000+float64(minute)/8+float64(i), uint64(minute+1))
		v.Stamp.Index = uint32(i)
		collector.Add(s, v)
	}
	return collector.Take()
}

// BenchmarkFlush writes 500 rows a flush, with a position and a message.
func BenchmarkFlush(b *testing.B) {
	c := defaultCatalog(b, 1)
	for _, tt := range []struct {
		name   string
		cache  int64
		minute func(i int) int
		warm   int
	}{
		{"new rows", 0, func(i int) int { return 15 * i }, 0},
		{"known rows", 0, func(i int) int { return i }, 15},
		{"rows not in memory", -1, func(i int) int { return i }, 15},
		{"duplicates", 0, func(i int) int { return i % 15 }, 15},
	} {
		b.Run(tt.name, func(b *testing.B) {
			s := open(b)
			bound(b, s)
			w := s.NewWriter(0, c, WriterConfig{CacheBytes: tt.cache})
			sequence := uint64(0)
			step := func(minute int) {
				b.StopTimer()
				g := benchGroups(c, register, minute)
				b.StartTimer()
				flush(b, w, Flush{
					Move: move(sequence, sequence+1), Groups: g,
					Feed: func(int64, []gold.Change) (string, []byte, error) { return "gold.0", make([]byte, 30_000), nil },
				})
				sequence++
			}
			for i := range tt.warm {
				step(i)
			}
			i := tt.warm
			b.ResetTimer()
			for b.Loop() {
				step(tt.minute(i))
				i++
			}
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkRows reads 96 rows, a day, of each of 500 series.
func BenchmarkRows(b *testing.B) {
	s, c := open(b), defaultCatalog(b, 1)
	w := s.NewWriter(0, c, WriterConfig{})
	for i := range 96 {
		flush(b, w, Flush{Groups: benchGroups(c, register, 15*i)})
	}
	exec(b, s, "ANALYZE gold.base")
	rows := 0
	b.ResetTimer()
	for b.Loop() {
		err := s.Read(b.Context(), func(tx *ReadTx) error {
			series, err := tx.Series(b.Context(), Selector{})
			if err != nil {
				return err
			}
			ids := column(series, func(s *Series) int64 { return s.ID })
			return tx.Rows(b.Context(), ids, math.MinInt64, math.MaxInt64, func(*StatsRow) error { rows++; return nil })
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkLateFlush writes 500 rows a flush into days that have parents: each
// flush is the first into its day after a roll, or the second.
func BenchmarkLateFlush(b *testing.B) {
	for _, tt := range []struct {
		name   string
		rolled bool
	}{{"parents go stale", true}, {"parents are stale", false}} {
		b.Run(tt.name, func(b *testing.B) {
			s, c := open(b), defaultCatalog(b, 1)
			w, roller := s.NewWriter(0, c, WriterConfig{}), s.NewRoller(0, c, RollerConfig{})
			flush(b, w, Flush{Groups: benchGroups(c, interval, 0)})
			i := 1
			for b.Loop() {
				b.StopTimer()
				if tt.rolled {
					if err := rollAll(b.Context(), roller); err != nil {
						b.Fatal(err)
					}
				}
				g := benchGroups(c, interval, i%(24*60))
				i++
				b.StartTimer()
				flush(b, w, Flush{Groups: g})
			}
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkRoll writes the parents of 500 days of 96 rows, that many in one
// transaction.
func BenchmarkRoll(b *testing.B) {
	s, c := open(b), defaultCatalog(b, 1)
	w := s.NewWriter(0, c, WriterConfig{})
	for i := range 96 {
		flush(b, w, Flush{Groups: benchGroups(c, interval, 15*i)})
	}
	exec(b, s, "ANALYZE gold.base")
	const again = `INSERT INTO gold.changed_days (partition, day, series_id) SELECT 0, start, series_id FROM gold.days
		ON CONFLICT DO NOTHING`
	for _, days := range []int{500, 100} {
		roller := s.NewRoller(0, c, RollerConfig{Days: days})
		b.Run(fmt.Sprint(days, " days"), func(b *testing.B) {
			held := time.Duration(0)
			for b.Loop() {
				for {
					rolled, err := roller.Roll(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					if rolled.Due == 0 {
						break
					}
					held = max(held, rolled.Held)
				}
				b.StopTimer()
				exec(b, s, again)
				b.StartTimer()
			}
			b.ReportMetric(float64(held.Milliseconds()), "longest-held-ms")
		})
	}
}

// BenchmarkYear reads a year of quarters of an hour of one series, as days and
// as days of a zone.
func BenchmarkYear(b *testing.B) {
	s, c := open(b), defaultCatalog(b, 1)
	w, roller := s.NewWriter(0, c, WriterConfig{}), s.NewRoller(0, c, RollerConfig{})
	for day := range 365 {
		var versions []gold.Version
		for i := range 96 {
			at := time.Duration(day-400)*24*time.Hour + time.Duration(i)*15*time.Minute
			versions = append(versions, version(at, float64(day*96+i), uint64(i+1)))
		}
		flush(b, w, Flush{Groups: groups(c, interval, versions...)})
	}
	exec(b, s, "ANALYZE gold.base")
	for _, state := range []string{"missing", "present"} {
		if state == "present" {
			if err := rollAll(b.Context(), roller); err != nil {
				b.Fatal(err)
			}
			exec(b, s, "ANALYZE gold.days")
		}
		for _, zone := range []string{"UTC", "Europe/Paris", "Asia/Kolkata"} {
			b.Run("parents "+state+", days of "+zone, func(b *testing.B) { benchYear(b, s, c, zone) })
		}
	}
}

func benchYear(b *testing.B, s *Store, c *catalog.Catalog, zone string) {
	b.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		b.Fatal(err)
	}
	windows, err := gold.CalendarWindows(gold.Day, location)
	if err != nil {
		b.Fatal(err)
	}
	from, _ := windows.Bounds(sunday - 400*int64(gold.DaySpan))
	to, _ := windows.Bounds(sunday)
	m := c.Metric(interval)
	for b.Loop() {
		a := gold.NewAggregator(m, windows, to, func(gold.Aggregate) error { return nil })
		err := s.Read(b.Context(), func(tx *ReadTx) error {
			series, err := tx.Series(b.Context(), Selector{
				Entities: []string{interval.EntityID}, Metrics: []string{interval.Metric},
			})
			if err != nil {
				return err
			}
			bounds, err := tx.Bounds(b.Context(), series)
			if err != nil {
				return err
			}
			pieces, err := tx.Pieces(b.Context(), []Ask{{
				Series: series[0], Bounds: bounds[series[0].ID], Metric: m, History: c.History(), Windows: windows,
				From: from, To: to,
			}})
			if err != nil {
				return err
			}
			return pieces[0].Feed(a)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
