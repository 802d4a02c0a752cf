package query

import (
	"context"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// received takes in the answer of a call.
type received struct {
	grpc.ServerStream
	context    func() context.Context
	aggregates []*energyv1.Aggregate
}

func (r *received) Context() context.Context { return r.context() }

func (r *received) Send(m *energyv1.QueryAggregatesResponse) error {
	r.aggregates = append(r.aggregates, m.GetAggregates()...)
	return nil
}

var meter = reading.Series{EntityID: "meter", Metric: "index", Unit: "kWh"}

// origin is a Friday before clocks go forward in Paris.
var origin = time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC)

// register returns a server over a register with readings at those times after
// origin, each of the value that the time has in hours.
func register(t *testing.T, times ...time.Duration) *Server {
	t.Helper()
	c, err := catalog.Parse(1, []byte(`
units: {kWh: {dimension: energy}, kW: {dimension: power, integral: kWh}}
metrics: {index: {kind: register, unit: kWh, max_gap: 24h, window: 1h}}
`))
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t, "gold", func(ctx context.Context, url string) error {
		_, err := goldstore.Migrate(ctx, url)
		return err
	})
	store, err := goldstore.Open(t.Context(), url, goldstore.Config{Application: "query test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	collector := gold.NewCollector(c)
	for _, d := range times {
		collector.Add(meter, gold.Version{
			Time: origin.Add(d).UnixNano(), Value: d.Hours(), Epoch: 1, Quality: reading.Actual,
		})
	}
	writer := store.NewWriter(0, c, goldstore.WriterConfig{})
	if _, err := writer.Flush(t.Context(), goldstore.Flush{Groups: collector.Take()}); err != nil {
		t.Fatal(err)
	}
	return NewServer(t.Context(), store, epochsOf(t, c), Pipeline{}, time.Minute)
}

func ask(t *testing.T, s *Server, w *energyv1.Window, from, to time.Duration) []*energyv1.Aggregate {
	t.Helper()
	r := &received{context: t.Context}
	err := s.QueryAggregates(&energyv1.QueryAggregatesRequest{
		Window: w, Start: timestamppb.New(origin.Add(from)), End: timestamppb.New(origin.Add(to)),
	}, r)
	if err != nil {
		t.Fatal(err)
	}
	return r.aggregates
}

// TestConsumptionReachesTheWindowsEdges has a register that advances by 1 kWh
// an hour, so that every window consumes as many kWh as it has hours, whatever
// part of the windows is asked for.
func TestConsumptionReachesTheWindowsEdges(t *testing.T) {
	t.Parallel()
	const day, last = 24 * time.Hour, 11*24*time.Hour + 20*time.Minute
	times := []time.Duration{last}
	for d := time.Duration(0); d < 3*day; d += 40 * time.Minute {
		times = append(times, d)
	}
	s := register(t, times...) // nothing from the third day to the eleventh
	for _, tt := range []struct {
		name   string
		window *energyv1.Window
	}{
		{"hours", fixed(time.Hour)},
		{"days of a zone", calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY, "Europe/Paris")},
		{"days that cut base windows", calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY, "Asia/Kathmandu")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, part := range [][2]time.Duration{
				{0, 12 * day}, {day, 2 * day}, {day + time.Hour, day + 2*time.Hour}, {5 * day, 6 * day}, {10 * day, 14 * day},
			} {
				for _, a := range ask(t, s, tt.window, part[0], part[1]) {
					checkWindow(t, a, origin, origin.Add(last))
				}
			}
		})
	}
}

// checkWindow compares a window with the hours of it between the first and the
// last reading.
func checkWindow(t *testing.T, a *energyv1.Aggregate, first, last time.Time) {
	t.Helper()
	start, end := a.GetStart().AsTime(), a.GetEnd().AsTime()
	from, to := start, end
	if from.Before(first) {
		from = first
	}
	if to.After(last) {
		to = last
	}
	want := max(to.Sub(from).Hours(), 0)
	if got := a.GetStatistics().GetAdvance(); math.Abs(got-want) > 1e-9 {
		t.Errorf("[%s, %s) consumes %g kWh, want %g", start, end, got, want)
	}
	// The last reading before the pause is at 71:20.
	pause := first.Add(71*time.Hour + 20*time.Minute)
	if from.Before(pause) {
		from = pause
	}
	if interpolated := max(to.Sub(from).Hours(), 0); math.Abs(a.GetInterpolatedEnergy()-interpolated) > 1e-9 ||
		(a.InterpolatedEnergy != nil) != (interpolated > 0) {
		t.Errorf("[%s, %s) interpolates %v kWh, want %g", start, end, a.InterpolatedEnergy, interpolated)
	}
	if a.GetEdgeOpen() != end.After(last) {
		t.Errorf("[%s, %s) has an open edge: %t", start, end, a.GetEdgeOpen())
	}
}
