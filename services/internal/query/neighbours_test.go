package query

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// flagged declares metrics whose windows depend on what lies before them.
const flagged = `
units: {kWh: {dimension: energy}, kW: {dimension: power, integral: kWh}, V: {dimension: voltage}}
metrics:
  energy: {kind: interval, unit: kWh, cadence: 20m, max_gap: 1h, stuck: 3h}
  long: {kind: interval, unit: kWh, cadence: 20m, max_gap: 1h, spike: 3, window: 1h}
  power: {kind: gauge, integrate: linear, unit: kW, max_gap: 1h, stuck: 3h, window: 1h}
  voltage: {kind: gauge, unit: V, max_gap: 1h, stuck: 3h}
`

// flaggedReadings has runs of equal values, silences, spikes, and spans that
// overlap and reach into later days.
func flaggedReadings(c *catalog.Catalog) []gold.Group {
	collector := gold.NewCollector(c)
	for _, metric := range []string{"energy", "long", "power", "voltage"} {
		s := reading.Series{EntityID: "m", Metric: metric}
		m := c.Metric(s)
		s.Unit = m.Unit
		for i := range 7 * 144 {
			if i/100 == 4 || i%53 > 46 {
				continue
			}
			v := gold.Version{
				Time:  firstDay + int64(i)*int64(10*time.Minute) + int64(i%7)*int64(30*time.Second),
				Value: float64(i / 23), Epoch: 1, Quality: reading.Actual,
			}
			if i%37 == 0 {
				v.Value += 100
			}
			if m.Interval() {
				v.Length = time.Minute * time.Duration([]int{5, 10, 10, 12, 90, 3}[i*i%6])
			}
			if metric == "long" {
				v.Value += float64(i % 5)
				if i%300 == 0 {
					v.Length = 40 * time.Hour
				}
			}
			collector.Add(s, v)
		}
	}
	return collector.Take()
}

// TestAPartOfAnAnswerHasTheBitsOfTheWhole asks for some of the windows, whose
// shares and flags depend on what lies before the first of them.
func TestAPartOfAnAnswerHasTheBitsOfTheWhole(t *testing.T) {
	t.Parallel()
	c, err := catalog.Parse(1, []byte(flagged))
	if err != nil {
		t.Fatal(err)
	}
	store, err := goldstore.Open(t.Context(), database(t), goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	l := &library{store: store, catalog: c}
	if _, err := store.NewWriter(0, c, goldstore.WriterConfig{}).Flush(t.Context(), goldstore.Flush{
		Groups: flaggedReadings(c),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.NewRoller(0, c, goldstore.RollerConfig{}).Roll(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		asked := drawAsked(t)
		if fixed := asked.windows.Fixed(); fixed%time.Hour != 0 {
			asked.windows, err = gold.FixedWindows(time.Hour)
		}
		part := asked
		asked.start, asked.end = math.MinInt64, math.MaxInt64
		whole := windowsOf(l.ask(t, asked))
		for _, a := range whole {
			for _, f := range a.GetFlags() {
				seen[f.GetRule()]++
			}
		}
		for name, got := range windowsOf(l.ask(t, part)) {
			want, ok := whole[name]
			if !ok && got.GetReceived() == 0 && got.GetStatistics() == nil {
				continue // behind the last reading
			}
			if !proto.Equal(want, got) {
				t.Fatalf("%s at %s:\nthe whole has %v,\nthe part     %v", name.metric, name.start, want, got)
			}
		}
	})
	for _, rule := range []string{"gap", "stuck", "spike", "overlap"} {
		if seen[rule] == 0 {
			t.Errorf("no window is flagged %s", rule)
		}
	}
}

type windowName struct {
	metric string
	start  time.Time
}

func windowsOf(all []*energyv1.QueryAggregatesResponse) map[windowName]*energyv1.Aggregate {
	windows := map[windowName]*energyv1.Aggregate{}
	for _, r := range all {
		for _, a := range r.GetAggregates() {
			windows[windowName{r.GetSeries().GetMetric(), a.GetStart().AsTime()}] = a
		}
	}
	return windows
}

// TestSpansReachTheEndOfAnAnswer asks without bounds for a reading of an hour.
func TestSpansReachTheEndOfAnAnswer(t *testing.T) {
	t.Parallel()
	c, err := catalog.Parse(1, []byte(flagged))
	if err != nil {
		t.Fatal(err)
	}
	store, err := goldstore.Open(t.Context(), database(t), goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	collector := gold.NewCollector(c)
	collector.Add(reading.Series{EntityID: "m", Metric: "energy", Unit: "kWh"}, gold.Version{
		Time: firstDay, Length: time.Hour, Value: 4, Epoch: 1, Quality: reading.Estimated,
	})
	if _, err := store.NewWriter(0, c, goldstore.WriterConfig{}).Flush(t.Context(), goldstore.Flush{
		Groups: collector.Take(),
	}); err != nil {
		t.Fatal(err)
	}
	s := NewServer(t.Context(), store, epochsOf(t, c), Pipeline{}, time.Minute)
	r := &received{context: t.Context}
	if err := s.QueryAggregates(&energyv1.QueryAggregatesRequest{Window: fixed(15 * time.Minute)}, r); err != nil {
		t.Fatal(err)
	}
	if len(r.aggregates) != 4 {
		t.Fatalf("%d windows, want the four quarters of the hour", len(r.aggregates))
	}
	for i, a := range r.aggregates {
		if a.GetStatistics().GetEnergy() != 1 || a.GetPeak() != 4 || a.GetMeanPower() != 4 || a.GetCompleteness() != 1 ||
			a.GetEstimatedEnergyShare() != 1 || (a.EstimatedShare != nil) != (i == 0) {
			t.Errorf("quarter %d has %v", i, a)
		}
	}
}
