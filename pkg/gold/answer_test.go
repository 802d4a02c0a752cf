package gold_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

// anyWindows draws fixed or calendar windows, many of which cut base rows.
func anyWindows(t *rapid.T) gold.Windows {
	if rapid.Bool().Draw(t, "fixed") {
		width := time.Duration(rapid.IntRange(1, 8).Draw(t, "multiple")) * time.Hour
		w, err := gold.FixedWindows(width)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := gold.CalendarWindows(rapid.SampledFrom([]gold.Calendar{gold.Day, gold.GasDay}).Draw(t, "unit"), loc)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestAnswersEqualACountOfReadings compares the windows of an answer, folded
// from hourly rows, with a count of the readings themselves.
func TestAnswersEqualACountOfReadings(t *testing.T) {
	t.Parallel()
	metric := &catalog.Metric{
		Kind: catalog.Gauge, Integrate: catalog.Mean, Window: time.Hour, EnergyUnit: "kWh", PowerUnit: "kW",
	}
	rapid.Check(t, func(t *rapid.T) {
		origin := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC).UnixNano()
		minutes := rapid.SliceOfNDistinct(rapid.Int64Range(0, 4*24*60), 1, 60, rapid.ID).Draw(t, "minutes")
		var readings []gold.Version
		for _, m := range minutes {
			readings = append(readings, gold.Version{
				Time: origin + m*int64(time.Minute), Value: float64(m % 7), Length: time.Minute, Epoch: 1,
			})
		}
		readings = gold.Normalize(readings)
		w := anyWindows(t)
		from := readings[0].Time
		until := from + rapid.Int64Range(1, int64(5*24*time.Hour)).Draw(t, "span")

		var got []gold.Aggregate
		a := gold.NewAggregator(metric, w, until, func(g gold.Aggregate) error {
			got = append(got, g)
			return nil
		})
		a.Begin(from)
		feed(t, a, metric, w, readings)
		if err := a.Finish(); err != nil {
			t.Fatal(err)
		}

		start, end := w.Bounds(from)
		for _, g := range got {
			if g.Start != start || g.End != end {
				t.Fatalf("window [%d, %d), want [%d, %d)", g.Start, g.End, start, end)
			}
			count, sum := uint64(0), 0.0
			for _, r := range readings {
				if r.Time >= start && r.Time < end {
					count, sum = count+1, sum+r.Value
				}
			}
			if g.Stats.Count != count || math.Abs(g.Stats.Sum-sum) > 1e-9 || math.Abs(g.Stats.Energy-sum/60) > 1e-9 {
				t.Fatalf("%d readings of sum %g, want %d of %g", g.Stats.Count, g.Stats.Sum, count, sum)
			}
			wantShare := float64(count) * float64(time.Minute) / float64(end-start)
			if math.Abs(g.Completeness-wantShare) > 1e-12 || g.Expected != uint64((end-start)/int64(time.Minute)) {
				t.Fatalf("completeness %g of %d, want %g", g.Completeness, g.Expected, wantShare)
			}
			start, end = w.Bounds(end)
		}
		if start < until {
			t.Fatalf("the windows from %d on are missing", start)
		}
	})
}

// TestCompletenessIsOfReadingsThatAreDue asks how complete days and quarter hours
// are of metrics whose readings stand at instants.
func TestCompletenessIsOfReadingsThatAreDue(t *testing.T) {
	t.Parallel()
	const quarter = 15 * time.Minute
	burst := func(every, until time.Duration) (minutes []int64) {
		for at := time.Duration(0); at < until; at += every {
			minutes = append(minutes, int64(at/time.Minute))
		}
		return minutes
	}
	tests := []struct {
		name     string
		cadence  time.Duration
		window   time.Duration
		minutes  []int64 // of the readings, from midnight on
		expected uint64
		want     float64 // of the first window
	}{
		{"all that are due", quarter, 24 * time.Hour, burst(quarter, 24*time.Hour), 96, 1},
		{"half of them", quarter, 24 * time.Hour, burst(2*quarter, 24*time.Hour), 96, 0.5},
		{"a burst stands for its own windows", quarter, 24 * time.Hour, burst(time.Minute, 105*time.Minute), 96, 7. / 96},
		{"more than are due are no more than all", quarter, 24 * time.Hour, burst(time.Minute, 24*time.Hour), 96, 1},
		{"a distance that windows are no multiple of", 10 * time.Minute, 24 * time.Hour, burst(10*time.Minute, 24*time.Hour), 144, 1},
		{"a distance above the base window", time.Hour, 24 * time.Hour, burst(time.Hour, 12*time.Hour), 24, 0.5},
		{"nothing is due", time.Hour, quarter, burst(time.Hour, 24*time.Hour), 0, math.NaN()},
		{"no distance is declared", 0, 24 * time.Hour, burst(quarter, 24*time.Hour), 0, math.NaN()},
		{"a window that cuts a base window", quarter, 40 * time.Minute, burst(quarter, 24*time.Hour), 2, 1},
	}
	for _, metric := range []catalog.Metric{
		{Name: "plain", Kind: catalog.Gauge},
		{Name: "linear", Kind: catalog.Gauge, Integrate: catalog.Linear, MaxGap: time.Hour},
		{Name: "step", Kind: catalog.Gauge, Integrate: catalog.Step, MaxGap: time.Hour},
		{Name: "register", Kind: catalog.Register, MaxRate: 1e6},
	} {
		for _, tt := range tests {
			t.Run(metric.Name+": "+tt.name, func(t *testing.T) {
				t.Parallel()
				m := metric
				m.Cadence, m.Window = tt.cadence, quarter
				day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano()
				var readings []gold.Version
				for _, minute := range tt.minutes {
					readings = append(readings, gold.Version{Time: day + minute*int64(time.Minute), Value: float64(minute), Epoch: 1})
				}
				w, err := gold.FixedWindows(tt.window)
				if err != nil {
					t.Fatal(err)
				}
				var got []gold.Aggregate
				a := gold.NewAggregator(&m, w, day+int64(24*time.Hour), func(g gold.Aggregate) error {
					got = append(got, g)
					return nil
				})
				feed(t, a, &m, w, readings)
				if err := a.Finish(); err != nil {
					t.Fatal(err)
				}
				if c := got[0].Completeness; got[0].Expected != tt.expected || math.Abs(c-tt.want) > 1e-12 ||
					math.IsNaN(c) != math.IsNaN(tt.want) {
					t.Errorf("%d of %d are %g, want %g of %d", got[0].Stats.Count, got[0].Expected, c, tt.want, tt.expected)
				}
			})
		}
	}
}

// feed gives readings to an aggregator as hourly rows.
func feed(t rapid.TB, a *gold.Aggregator, m *catalog.Metric, w gold.Windows, readings []gold.Version) {
	for len(readings) > 0 {
		start := gold.WindowStart(readings[0].Time, m.Window)
		n := 1
		for n < len(readings) && readings[n].Time < start+int64(m.Window) {
			n++
		}
		row := gold.Stored{Start: start, Width: m.Window}
		row.Summary = gold.Summarize(m, start, m.Window, gold.Fold(m, gold.RowWinners(m, readings[:n]), row.End()))
		row.Revision = 1
		var err error
		if _, end := w.Bounds(start); end < row.End() {
			err = a.AddCut(&row, readings[:n])
		} else {
			err = a.Add(&row)
		}
		if err != nil {
			t.Fatal(err)
		}
		readings = readings[n:]
	}
}

func TestPeakIsTheGreatestMeanOfABaseWindow(t *testing.T) {
	t.Parallel()
	metric := &catalog.Metric{Kind: catalog.Interval, Window: time.Hour, EnergyUnit: "kWh", PowerUnit: "kW"}
	windows, err := gold.FixedWindows(24 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var got []gold.Aggregate
	a := gold.NewAggregator(metric, windows, int64(24*time.Hour), func(g gold.Aggregate) error {
		got = append(got, g)
		return nil
	})
	for hour, energy := range []float64{1, 3, 2} {
		start := int64(hour) * int64(time.Hour)
		half := gold.Version{Time: start, Value: energy, Length: 30 * time.Minute}
		row := gold.Stored{Start: start, Width: time.Hour}
		stats := gold.Fold(metric, []gold.Version{half}, row.End())
		row.Summary = gold.Summarize(metric, start, time.Hour, stats)
		row.Revision = 1
		if err := a.Add(&row); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Peak != 3 || got[0].PeakAt != int64(time.Hour) {
		t.Errorf("got %+v, want one window with a peak of 3 kW at the second hour", got)
	}
}
