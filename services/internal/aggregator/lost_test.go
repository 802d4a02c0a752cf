package aggregator

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
)

// judged puts messages into SILVER, each with a reading of each series.
func judged(t *testing.T, d Deps, messages int) (readings uint64) {
	t.Helper()
	judge := silver.NewJudge(d.Catalogs.Newest())
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for n := range messages {
		var e wire.SilverEncoder
		for i, entity := range []string{"a", "b", "c"} {
			j := judge.Bench(entity, "voltage", "V").Judge(reading.Reading{
				EntityID: entity, Metric: "voltage", Unit: "V", Time: at.Add(time.Duration(n) * time.Minute).UnixNano(), Value: 230,
			}, reading.Stamp{Received: at.Add(time.Hour).UnixNano(), Sequence: uint64(n + 1), Index: uint32(i)}, nil)
			e.Add(&j)
			readings++
		}
		data, err := e.Marshal(d.Catalogs.Newest().Epoch())
		if err == nil {
			_, err = d.JetStream.Publish(t.Context(), broker.SilverSubject(0), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return readings
}

// merged runs the partition, again whenever it stops, until a store says that it has
// merged up to a sequence. It returns what it stopped for.
func merged(t *testing.T, d Deps, look *goldstore.Store, until uint64) (stops []error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan []error)
	go func() {
		var stops []error
		for ctx.Err() == nil {
			if err := Run(ctx, d, 0); err != nil {
				stops = append(stops, err)
			}
		}
		ended <- stops
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		p, err := look.LoadPosition(t.Context(), Stage, 0)
		if err != nil {
			t.Fatal(err)
		}
		if p.Sequence == until {
			stop()
			return <-ended
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("the position is %+v; stopped for %v", p, <-ended)
		}
	}
}

const content = `SELECT c::text FROM gold.content c`

// TestACommitWhoseAnswerIsLost: over a connection that breaks when Postgres has committed
// and not said so yet the partition stops where its position is not what it believes,
// goes on from where that is, and each reading is merged and counted once (invariant 1).
func TestACommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	all, err := catalog.Epochs{}.Append(time.Time{}, []byte(c.Document()))
	if err != nil {
		t.Fatal(err)
	}
	ready := func(d testDeps) testDeps {
		d.Catalogs, d.Partitions, d.Budget, d.Grace = NewCatalogs(&known{t, all}), 1, broker.NewBudget(0), time.Minute
		d.Limits, d.ParentsQuiet, d.ParentsTurn = broker.BatchLimits{Bytes: 1 << 10}, time.Hour, make(chan struct{}, 1)
		d.CacheBytes = 1 << 20
		d.Report, d.Forget = func(string, error) {}, func(string) {}
		if d.Publisher, err = broker.NewPublisher(d.JetStream, broker.PublisherConfig{}); err != nil {
			t.Fatal(err)
		}
		return d
	}
	undisturbed, lossy := ready(deps(t)), ready(deps(t))
	lossy.JetStream, lossy.Publisher = undisturbed.JetStream, undisturbed.Publisher
	const messages = 60
	readings := judged(t, undisturbed.Deps, messages)
	if stops := merged(t, undisturbed.Deps, undisturbed.Store, messages); stops != nil {
		t.Fatal(stops)
	}

	proxy, look := pgtest.NewProxy(t, lossy.url), lossy.Store
	if lossy.Store, err = goldstore.Open(t.Context(), proxy.URL(), goldstore.Config{}); err != nil {
		t.Fatal(err)
	}
	defer lossy.Store.Close()
	proxy.LoseCommits(3)
	stops := merged(t, lossy.Deps, look, messages)
	if !slices.ContainsFunc(stops, func(err error) bool { return errors.Is(err, goldstore.ErrPositionMoved) }) {
		t.Errorf("%d answers were lost, none to a flush: it stopped for %v", proxy.Lost(), stops)
	}
	for _, err := range stops {
		if !errors.Is(err, goldstore.ErrPositionMoved) && !goldstore.IsRetryable(err) {
			t.Errorf("it stopped for %v", err)
		}
	}
	if diff := cmp.Diff(pgtest.Texts(t, undisturbed.url, content), pgtest.Texts(t, lossy.url, content)); diff != "" {
		t.Errorf("gold (-want +got):\n%s", diff)
	}
	p, err := look.LoadPosition(t.Context(), Stage, 0)
	if want := (goldstore.Counts{In: readings, Out: readings}); err != nil || p.Counts != want {
		t.Errorf("counted are %+v, want %+v; %v", p.Counts, want, err)
	}
}
