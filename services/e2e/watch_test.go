package e2e_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// marker is an entity whose change comes last.
const marker = "marker"

// watcher keeps the last answer of each window that a watch delivered, as a
// client would that goes on from its last token whenever the connection breaks.
type watcher struct {
	seen   map[string]*energyv1.Aggregate
	stands chan struct{} // closed when the first watch stands
	marked chan struct{} // closed when a change of the marker is delivered
	ended  chan error
}

func windowKey(s *energyv1.SeriesKey, a *energyv1.Aggregate) string {
	return fmt.Sprint(s.GetEntityId(), " ", s.GetMetric(), " ", a.GetStart().AsTime().Unix())
}

// watch follows a selection until ctx ends.
func (p *platform) watch(ctx context.Context, window *energyv1.Window) *watcher {
	w := &watcher{
		seen: make(map[string]*energyv1.Aggregate), stands: make(chan struct{}), marked: make(chan struct{}),
		ended: make(chan error, 1),
	}
	go func() {
		token := ""
		for {
			err := p.watchOnce(ctx, window, &token, w)
			if ctx.Err() != nil {
				w.ended <- nil
				return
			}
			if status.Code(err) != codes.Unavailable {
				w.ended <- err
				return
			}
		}
	}()
	return w
}

func (p *platform) watchOnce(ctx context.Context, window *energyv1.Window, token *string, w *watcher) error {
	stream, err := p.query.WatchAggregates(ctx, &energyv1.WatchAggregatesRequest{Window: window, ResumeToken: *token})
	if err != nil {
		return err
	}
	markerSeen := false
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if r.GetSeries() == nil && *token == "" {
			close(w.stands)
		}
		for _, a := range r.GetAggregates() {
			w.seen[windowKey(r.GetSeries(), a)] = a
		}
		markerSeen = markerSeen || r.GetSeries().GetEntityId() == marker
		if r.GetResumeToken() == "" {
			continue // more of the same changes follow, in any order
		}
		if *token = r.GetResumeToken(); markerSeen {
			close(w.marked)
			markerSeen = false
		}
	}
}

// wait waits for something to happen to the watch.
func (w *watcher) wait(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case err := <-w.ended:
		t.Fatalf("the watch ended with %v", err)
	case <-time.After(patience):
		t.Fatalf("waited %s for the watch %s", patience, what)
	}
}

// awaitEmptyOutbox returns when every committed change is on the feed.
func (p *platform) awaitEmptyOutbox(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		var left int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM gold.outbox").Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d changes are still in the outbox after %s", left, patience)
		}
	}
}

// TestWatchMissesNothing watches while gold-aggregator and query are killed and
// the broker is restarted: every window that changed is delivered, and its last
// delivery equals a query.
func TestWatchMissesNothing(t *testing.T) {
	t.Parallel()
	f := separate(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	days := &energyv1.Window{
		Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}, Zone: "Europe/Paris",
	}
	w := f.watch(ctx, days)
	w.wait(t, "to stand", w.stands)
	victims := []*process{f.services["gold-aggregator"], f.broker, f.services["query"], f.services["gold-aggregator"]}
	files := parts(t, 2000, len(victims))
	for i, victim := range victims {
		before := readingsIn(f.status(t), "gold")
		published := make(chan error, 1)
		go func() { published <- f.publish(ctx, files[i:i+1], 20) }()
		f.await(t, "gold to be at work", func(s *energyv1.GetPipelineStatusResponse) bool {
			return readingsIn(s, "gold") > before
		})
		victim.kill(t)
		victim.start(t)
		if err := <-published; err != nil {
			t.Fatal(err)
		}
	}
	f.delivered(t, w, days, cancel)
}

// delivered waits until gold has caught up and the watch has come to its end, which
// cancel then ends, and compares what it delivered with a query.
func (p *platform) delivered(t *testing.T, w *watcher, window *energyv1.Window, cancel func()) {
	t.Helper()
	p.await(t, "gold to catch up", caughtUp)
	want := make(map[string]*energyv1.Aggregate)
	for series, aggregates := range p.aggregates(t, &energyv1.QueryAggregatesRequest{Window: window}) {
		for _, a := range aggregates {
			want[fmt.Sprint(series, " ", a.GetStart().AsTime().Unix())] = a
		}
	}
	// A change behind all others tells when the watch has come to their end.
	p.awaitEmptyOutbox(t)
	send(t, p, "application/json",
		fmt.Sprintf(`{"entity_id":%q,"metric":"voltage","value":1,"time":%q}`, marker, time.Now().Format(time.RFC3339)))
	w.wait(t, "to reach the end", w.marked)
	cancel()
	if err := <-w.ended; err != nil {
		t.Fatal(err)
	}
	w.equals(t, want)
}

// equals compares the last delivery of each window with a query's answer.
func (w *watcher) equals(t *testing.T, want map[string]*energyv1.Aggregate) {
	t.Helper()
	for key, a := range want {
		got, ok := w.seen[key]
		if !ok {
			t.Errorf("window %s changed and was not delivered", key)
			continue
		}
		if got.GetReceived() != a.GetReceived() || got.GetRevision() != a.GetRevision() ||
			got.GetStatistics().GetEnergy() != a.GetStatistics().GetEnergy() ||
			got.GetStatistics().GetAdvance() != a.GetStatistics().GetAdvance() {
			t.Errorf("window %s was last delivered as %v, a query answers %v", key, got, a)
		}
	}
}

// TestWatchReportsNeighbours sends readings of a register whose windows lie between
// readings: each moves what the windows up to its neighbours have (invariant 10).
func TestWatchReportsNeighbours(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	window := &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}}
	w := p.watch(ctx, window)
	w.wait(t, "to stand", w.stands)
	start := time.Now().UTC().Truncate(time.Hour).Add(-48 * time.Hour)
	for _, r := range []struct {
		after time.Duration
		index float64
	}{{0, 100}, {4 * time.Hour, 108}, {2 * time.Hour, 103}, {7 * time.Hour, 120}, {5*time.Hour + time.Minute, 109}} {
		send(t, p, "application/json", fmt.Sprintf(
			`{"entity_id":"m1","metric":"active_energy_import","value":%g,"time":%q}`, r.index, start.Add(r.after).Format(time.RFC3339)))
		p.await(t, "gold to catch up", caughtUp)
	}
	// The first reading is taken back: what it had shared out is gone.
	send(t, p, "application/json", fmt.Sprintf(
		`{"entity_id":"m1","metric":"active_energy_import","quality":"withdrawn","time":%q}`, start.Format(time.RFC3339)))
	p.await(t, "gold to catch up", caughtUp)
	p.awaitEmptyOutbox(t)
	send(t, p, "application/json",
		fmt.Sprintf(`{"entity_id":%q,"metric":"voltage","value":1,"time":%q}`, marker, start.Format(time.RFC3339)))
	w.wait(t, "to reach the end", w.marked)
	cancel()
	if err := <-w.ended; err != nil {
		t.Fatal(err)
	}
	want, advance := make(map[string]*energyv1.Aggregate), 0.0
	for _, a := range p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Selector: &energyv1.Selector{EntityIds: []string{"m1"}}, Window: window,
	})["m1 active_energy_import"] {
		want[fmt.Sprint("m1 active_energy_import ", a.GetStart().AsTime().Unix())] = a
		advance += a.GetStatistics().GetAdvance()
	}
	if len(want) != 21 || math.Abs(advance-17) > 1e-9 {
		t.Errorf("%d windows sum to %g kWh, want 21 and 17", len(want), advance)
	}
	for i := range 8 { // up to the reading after two hours, which is the first now
		at := start.Add(time.Duration(i) * 15 * time.Minute)
		if a, ok := w.seen[fmt.Sprint("m1 active_energy_import ", at.Unix())]; !ok || a.GetStatistics() != nil {
			t.Errorf("the window from %s lost its share and was last delivered as %v", at, a)
		}
	}
	w.equals(t, want)
}
