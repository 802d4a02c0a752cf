package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/janitor"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
	"github.com/energy-platform/energy/services/internal/stage"
)

// release puts a release of a reading that is out of range into BRONZE.
func (p *platform) release(t *testing.T, value float64, s reading.Stamp) {
	t.Helper()
	var e wire.BronzeEncoder
	e.Release(reading.Reading{
		EntityID: series.EntityID, Metric: series.Metric, Unit: series.Unit,
		Time: at(int(value)).UnixNano(), Value: 2e6 + value,
	}, s, &reading.Waiver{
		Rules: reading.Rules(0).With(reading.OutOfRange), Epoch: 1,
		Decision: reading.Decision{Person: "somebody", At: s.Received + 1, Reason: "it is so"},
	})
	data, err := e.Marshal()
	if err == nil {
		_, err = p.js.Publish(t.Context(), broker.BronzeSubject(int(reading.Partition(series.EntityID, partitions))), data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// read notes that a stage has read a stream up to a sequence.
func (p *platform) read(t *testing.T, key, stream string, sequence uint64) {
	t.Helper()
	positions, err := broker.OpenPositions(t.Context(), p.js)
	if err != nil {
		t.Fatal(err)
	}
	s, err := broker.Stream(t.Context(), p.js, stream)
	if err != nil {
		t.Fatal(err)
	}
	_, revision, err := positions.Load(t.Context(), key)
	if err == nil {
		at := broker.Position{Stream: stream, Created: s.Created, Sequence: sequence}
		_, err = positions.Store(t.Context(), key, at, revision)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// aggregated notes that gold-aggregator keeps the database, and has read SILVER up to
// a sequence.
func (p *platform) aggregated(t *testing.T, sequence uint64) {
	t.Helper()
	s, err := broker.Stream(t.Context(), p.js, broker.StreamSilver)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint32(partitions) {
		old, err := p.store.LoadPosition(t.Context(), aggregator.Stage, n)
		if err == nil {
			_, err = p.store.ResetPosition(t.Context(), old, broker.StreamSilver, s.Created, sequence)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestARunWaitsForLiveReadings: while a stage is behind, a run does not read on; it does
// once the stage has caught up.
func TestARunWaitsForLiveReadings(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	p.publish(t, 1, 2, 3)
	c := p.config(t, replay.Readings, job.Selection{})
	c.MaxLag = time.Nanosecond
	var told []bool
	c.Progress = func(at batch.Progress) {
		if len(told) == 0 && at.Waiting || len(told) > 0 && told[len(told)-1] != at.Waiting {
			told = append(told, at.Waiting)
			if at.Waiting {
				p.read(t, stage.PositionKey(ingest.Stage, 0), broker.StreamReadings, 3)
			}
		}
	}
	if b, err := batch.Run(t.Context(), c); err != nil || b.Changes.Inserted != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	if !slices.Equal(told, []bool{true, false}) {
		t.Errorf("told of waiting: %v", told)
	}
}

// TestBesideTheJanitor: what a run has to read is kept while it goes on, and no longer
// (invariant 19).
func TestBesideTheJanitor(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	stamps := p.publish(t, 1, 2, 3, 4, 5)
	p.read(t, stage.PositionKey(ingest.Stage, 0), broker.StreamReadings, 5)
	rounds, stop := make(chan struct{}), make(chan struct{})
	sweeper := janitor.Deps{
		JetStream: p.js, Store: p.store, Topology: broker.Topology{Partitions: partitions, IngressShards: 1},
		Horizon: time.Nanosecond, Every: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Report: func(string, error) {}, Forget: func(string) {},
		Synced: func(context.Context) (time.Duration, error) { return 0, nil },
		Note: func(string, string) { // once a round
			select {
			case rounds <- struct{}{}:
			case <-stop:
			}
		},
	}
	var err error
	if sweeper.Positions, err = broker.OpenPositions(t.Context(), p.js); err == nil {
		sweeper.Epochs, err = broker.OpenEpochs(t.Context(), p.js)
	}
	if err != nil {
		t.Fatal(err)
	}
	g, working := errgroup.WithContext(t.Context())
	swept := func() {
		for range 2 { // the first may have begun before
			select {
			case <-rounds:
			case <-working.Done():
			}
		}
	}
	began := false
	c := p.config(t, replay.Readings, job.Selection{})
	c.Progress = func(at batch.Progress) {
		if began || at.Step != "read" {
			return
		}
		began = true
		g.Go(func() error { return janitor.Run(working, sweeper) })
		swept()
	}
	ran(t)(batch.Run(t.Context(), c))
	p.has(t, 1, 2, 3, 4, 5)
	if keys := p.keys(t); keys != "ingest.0" {
		t.Errorf("positions are kept of %s", keys)
	}
	swept()
	close(stop)
	s, err := broker.Stream(t.Context(), p.js, broker.StreamReadings)
	if err != nil || s.FirstSequence != 5 {
		t.Errorf("READINGS begins with %d: %v", s.FirstSequence, err)
	}
	b, err := p.run(t, replay.Readings, job.Selection{ReceivedFrom: stamps[0].Received})
	refused(t, b, err)
}

// TestRemovedMeanwhile: a run whose messages are removed before it has read them does
// not pass for one that has read all.
func TestRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	p.publish(t, 1, 2, 3, 4, 5)
	c := p.config(t, replay.Readings, job.Selection{})
	purged := false
	c.Progress = func(batch.Progress) {
		if !purged {
			purged = true
			p.purge(t, broker.StreamReadings, 4)
		}
	}
	b, err := batch.Run(t.Context(), c)
	refused(t, b, err)
	if b.State != goldstore.BatchFailed || !strings.Contains(b.Error, "READINGS begins") {
		t.Errorf("the record is %+v", b)
	}
	if values := p.values(t); len(values) != 0 {
		t.Errorf("gold has %v", values)
	}
}

// TestRebuildAwaitsWhatIsOnItsWay: judgements that a stage has still to bring to gold
// would bring back what a rebuild takes out (invariant 22).
func TestRebuildAwaitsWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	p.publish(t, 1)
	p.ingest(t, 0, 1)
	silver, err := p.js.Publish(t.Context(), broker.SilverSubject(1), []byte("a judgement"))
	if err != nil {
		t.Fatal(err)
	}
	p.aggregated(t, 0)
	waits := func(who string) string {
		t.Helper()
		b, err := p.rebuild(t, replay.Readings, job.Selection{})
		if !errors.Is(err, batch.ErrUnsettled) || !batch.CanResume(err) || !strings.Contains(err.Error(), who+" has read ") {
			t.Fatalf("it does not wait for %s: %v", who, err)
		}
		p.has(t)
		return b.ID
	}
	waits("ingest.0")
	p.read(t, "ingest.0", broker.StreamReadings, 1)
	partition := reading.Partition(series.EntityID, partitions)
	cleaner := fmt.Sprintf("silver.%d", partition)
	waits(cleaner)
	p.read(t, cleaner, broker.StreamBronze, 1)
	id := waits("gold.1")
	p.aggregated(t, silver.Sequence)
	c := p.config(t, replay.Readings, job.Selection{})
	c.Job, c.Resume = job.Job{}, id
	ran(t)(batch.Run(t.Context(), c))
	p.has(t, 1)
}

// TestLeftoversArePublished: what a run that was killed has left in the outbox goes to
// the feed, though the next one changes nothing (invariant 8).
func TestLeftoversArePublished(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	p.publish(t, 1)
	p.aggregated(t, 0)
	ran(t)(p.run(t, replay.Readings, job.Selection{}))
	before := p.feed(t)
	c := builtIn(t)
	partition := reading.Partition(series.EntityID, partitions)
	groups := gold.NewCollector(c)
	groups.Add(series, wrong(7, reading.Stamp{Received: 1, Sequence: 1}))
	_, err := p.store.NewWriter(partition, c, goldstore.WriterConfig{}).Flush(t.Context(), goldstore.Flush{
		Groups: groups.Take(), Cause: gold.CauseBatch,
		Feed: func(id int64, changes []gold.Change) (string, []byte, error) {
			return aggregator.FeedMessage(int(partition), id, changes)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := ran(t)(p.run(t, replay.Readings, job.Selection{}))
	if b.Changes.Added != 0 || p.feed(t) != before+1 {
		t.Errorf("%+v, %d messages of %d are published", b.Changes, p.feed(t), before+1)
	}
	if n := p.exec(t, "DELETE FROM gold.outbox"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// TestWhatPostgresRefusesEndsTheRun: the broker tells nothing of what Postgres will not do
// whenever it is asked. A run that is taken up when it does goes on.
func TestWhatPostgresRefusesEndsTheRun(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	p.publish(t, 1)
	p.aggregated(t, 0)
	p.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE insufficient_privilege; END $$`)
	p.exec(t, "CREATE TRIGGER refuses BEFORE DELETE ON gold.outbox EXECUTE FUNCTION refuse()")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := p.config(t, replay.Readings, job.Selection{})
	b, err := batch.Run(ctx, c)
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42501" || ctx.Err() != nil {
		t.Fatalf("the run ends with %v", err)
	}
	if b.State != goldstore.BatchFailed || !batch.CanResume(err) {
		t.Errorf("%+v, %v", b, err)
	}
	p.exec(t, "DROP TRIGGER refuses ON gold.outbox")
	c.Job, c.Resume = job.Job{}, b.ID
	ran(t)(batch.Run(t.Context(), c))
	p.has(t, 1)
	if n := p.exec(t, "DELETE FROM gold.outbox"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func (p *platform) feed(t *testing.T) uint64 {
	t.Helper()
	s, err := broker.Stream(t.Context(), p.js, broker.StreamGold)
	if err != nil {
		t.Fatal(err)
	}
	return s.LastSequence
}
