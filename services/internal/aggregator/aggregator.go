// Package aggregator is the service that merges silver into gold, publishes what
// changed on the GOLD feed, and keeps the quarantine in Postgres.
package aggregator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/metrics"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// Stage is the name of this stage in positions and quarantine.
const Stage = "gold"

// Names of what a partition does besides, in health.
const (
	Feed    = "feed"
	Parents = "parents"
)

// Deps is what the partitions of one process share.
type Deps struct {
	JetStream jetstream.JetStream
	Publisher *broker.Publisher
	Store     *goldstore.Store
	Catalogs  *Catalogs
	// Slabs lends memory to what is collected.
	Slabs *gold.Slabs
	// Partitions is the number of all partitions.
	Partitions int
	Budget     *broker.Budget
	Logger     *slog.Logger
	Tracer     tracing.Tracer
	Count      *metrics.Stage // nil: nothing is counted
	Gold       *metrics.Gold  // likewise
	Limits     broker.BatchLimits
	Grace      time.Duration
	// CacheBytes bounds the gold rows that one partition keeps in memory.
	CacheBytes int64
	// ParentsQuiet is how long a day must be over and without a change before
	// its hours and days are written.
	ParentsQuiet time.Duration
	// ParentsTurn holds a token while parents are written; one fits.
	ParentsTurn chan struct{}
	// Report tells how a worker is, nil for well; Forget drops a worker that is
	// no longer this process's.
	Report func(worker string, trouble error)
	Forget func(worker string)
}

// Run merges the silver of one partition until ctx ends, then finishes the
// batch in hand within the grace period. It returns an error when it cannot go
// on from its position; starting it again mends that.
func Run(ctx context.Context, d Deps, partition int) error {
	name := fmt.Sprintf("%s.%d", Stage, partition)
	newest, err := d.current(ctx, name)
	if err != nil {
		return lifecycle.Ended(ctx, fmt.Errorf("stage %s: %w", name, err))
	}
	a := &worker{
		Deps: d, name: name, partition: partition, catalog: newest,
		collector: d.Slabs.NewCollector(newest),
		writer:    d.Store.NewWriter(uint32(partition), newest, goldstore.WriterConfig{CacheBytes: d.CacheBytes}),
		refused:   refusal.NewCollector(Stage),
		relay:     newRelay(d, partition),
	}
	a.Logger = d.Logger.With("stage", name)
	p, r := newParents(d, partition), newRecompute(d, partition, a.relay)
	defer d.Forget(a.relay.name)
	defer d.Forget(p.name)
	defer d.Forget(r.name)
	return lifecycle.All(ctx, a.run, a.relay.run, p.run, r.run)
}

// worker is one partition at work.
type worker struct {
	Deps
	name      string
	partition int
	catalog   *catalog.Catalog // newest epoch, which the collector and the writer have
	reader    *broker.Reader
	openings  uint64 // of the reader that the position was verified for
	position  goldstore.Position
	collector *gold.Collector
	lanes     []*gold.Lane // of the message in hand
	writer    *goldstore.Writer
	refused   *refusal.Collector
	relay     *relay
	lag       time.Duration // of the newest reading merged, since the broker took it in
}

// The more readings of a window come at once, the fewer times its row is written. So a
// worker that is behind waits for more of them: for a share of its lag, which that
// makes worse by as much at most.
const (
	lingerShare = 8
	maxLinger   = 500 * time.Millisecond
)

// limits returns the bounds of the next batch.
func (a *worker) limits() broker.BatchLimits {
	limits := a.Limits
	limits.Linger = max(limits.Linger, min(a.lag/lingerShare, maxLinger))
	return limits
}

func (a *worker) run(ctx context.Context) error {
	work, cancel := lifecycle.Drain(ctx, a.Grace)
	defer cancel()
	source := source{broker.StreamSilver, broker.SilverSubject(a.partition), Stage, uint32(a.partition)}
	reader, position, err := open(ctx, a.Deps, source, a.Logger)
	if err != nil {
		return lifecycle.Ended(ctx, fmt.Errorf("stage %s: %w", a.name, err))
	}
	a.reader, a.openings, a.position = reader, reader.Openings(), position
	defer a.reader.Close()
	a.Report(a.name, nil)
	for {
		batch, err := a.reader.NextBatch(ctx, a.limits())
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("stage %s: %w", a.name, err))
		}
		if err = a.recheck(ctx); err == nil {
			err = a.pass(work, batch)
		}
		batch.Release()
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("stage %s: %w", a.name, err))
		}
	}
}

// recheck verifies the position again when the reader had to open again: the
// broker may have come back without the tail of the quarantine.
func (a *worker) recheck(ctx context.Context) error {
	openings := a.reader.Openings()
	if openings == a.openings {
		return nil
	}
	at, reason, err := Verify(ctx, a.JetStream, a.position)
	if err == nil && reason != "" {
		err = fmt.Errorf("the position does not fit any more: %s", reason)
	}
	if err == nil {
		a.position.Refused, a.openings = refusedOf(&at.Outputs[0]), openings
	}
	return err
}

// pass takes one batch into gold, in a span.
func (a *worker) pass(ctx context.Context, batch *broker.Batch) error {
	ctx, span := a.Tracer.Batch(ctx, "gold batch", broker.Origins(ctx, batch.Messages))
	defer span.End()
	err := a.mergeUnderNewest(ctx, batch)
	if err != nil {
		tracing.Failed(ctx, err)
	}
	broker.Describe(span, a.name, broker.StreamSilver, batch.Messages)
	return err
}

// mergeUnderNewest takes one batch into gold under the newest epoch known when
// it begins or, if that is later, one that a message or gold itself is ahead by.
// Where the newest says another base window than a metric has, it waits for one that
// does not.
func (a *worker) mergeUnderNewest(ctx context.Context, batch *broker.Batch) error {
	otherWindow := func(err error) bool { return errors.Is(err, goldstore.ErrOtherWindow) }
	return a.retry(ctx, a.name, otherWindow, func() error {
		for needed := uint64(0); ; needed = a.catalog.Epoch() + 1 {
			if err := a.follow(ctx, needed); err != nil {
				return err
			}
			err := a.merge(ctx, batch)
			if !errors.Is(err, goldstore.ErrCatalogBehind) {
				return err
			}
			a.Logger.InfoContext(ctx, "gold is at a later catalogue epoch", "have", a.catalog.Epoch(), "error", err)
		}
	})
}

// follow goes on under the newest epoch, which is that one at least.
func (a *worker) follow(ctx context.Context, needed uint64) error {
	if _, err := a.Catalogs.Await(ctx, needed); err != nil {
		return err
	}
	newest, err := a.current(ctx, a.name)
	if err != nil || newest == a.catalog {
		return err
	}
	a.catalog, a.collector = newest, a.Slabs.NewCollector(newest)
	a.writer.SetCatalog(newest)
	return nil
}

// merge takes one batch into gold.
func (a *worker) merge(ctx context.Context, batch *broker.Batch) error {
	began := time.Now()
	taken, err := a.collect(batch.Messages)
	if err != nil {
		return err
	}
	counts := &taken.counts
	if err := a.quarantine(ctx); err != nil {
		return err
	}
	received := batch.Messages[len(batch.Messages)-1].Received
	result, err := a.flush(ctx, goldstore.Flush{
		Move: &goldstore.PositionMove{
			Stage: Stage, Partition: uint32(a.partition), Stream: a.position.Stream, Created: a.position.Created,
			From: a.position.Sequence, To: batch.Last, Received: received, Refused: a.position.Refused, Counts: *counts,
		},
		Groups: a.collector.Take(), Cause: gold.CauseStream, Feed: a.feed,
		Headers: func(r *goldstore.Result) map[string]string { return headers(ctx, r) },
	})
	a.collector.Release()
	if err != nil {
		return err
	}
	a.position.Sequence, a.position.Received = batch.Last, received
	if taken.newest > 0 {
		a.lag = time.Since(time.Unix(0, taken.newest))
	}
	a.relay.wake()
	a.count(ctx, began, &taken, &result)
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(
			attribute.Int64("energy.readings.in", int64(counts.In)),
			attribute.Int64("energy.readings.quarantined", int64(counts.Quarantined)),
			attribute.Int("energy.readings.duplicates", result.Duplicates),
			attribute.Int("energy.rows.inserted", result.Inserted), attribute.Int("energy.rows.updated", result.Updated),
			attribute.Int("energy.rows.restated", result.Restated),
		)
	}
	a.Logger.DebugContext(ctx, "batch merged", "messages", len(batch.Messages), "bytes", batch.Bytes,
		"position", batch.Last, "readings", counts.In, "duplicates", result.Duplicates,
		"inserted", result.Inserted, "updated", result.Updated, "loaded", result.Loaded,
		"seconds", time.Since(began).Seconds())
	return nil
}

// count adds what was merged to the metrics.
func (a *worker) count(ctx context.Context, began time.Time, t *taken, r *goldstore.Result) {
	a.Count.Batch(ctx, began)
	a.Count.Readings(ctx, metrics.Accepted, uint64(r.Added))
	a.Count.Readings(ctx, metrics.Duplicate, uint64(r.Duplicates))
	a.Count.Readings(ctx, metrics.Quarantined, t.counts.Quarantined)
	a.Gold.Corrections(ctx, t.corrections)
	a.Gold.Rows(ctx, metrics.Rows{Inserted: r.Inserted, Updated: r.Updated, Restated: r.Restated})
}

// taken is what messages brought.
type taken struct {
	counts      goldstore.Counts
	corrections uint64
	newest      int64 // when the newest of them was received, in Unix ns
}

// collect gathers the versions of messages by window.
func (a *worker) collect(messages []broker.Message) (t taken, err error) {
	for i := range messages {
		m := &messages[i]
		batch, err := wire.DecodeSilver(m.Data)
		if err != nil {
			t.counts.In++
			t.counts.Quarantined++
			a.refused.Add(reading.Undecodable, 0, refusal.Foreign(m, err))
			continue
		}
		if batch.Epoch() > a.catalog.Epoch() {
			a.collector.Take() // all is collected again
			return taken{}, fmt.Errorf("message %d was judged under epoch %d: %w",
				m.Sequence, batch.Epoch(), goldstore.ErrCatalogBehind)
		}
		n := uint64(batch.Len())
		t.counts.In += n
		t.counts.Out += n
		a.lanes = a.lanes[:0]
		for _, series := range batch.Series {
			a.lanes = append(a.lanes, a.collector.Lane(series))
		}
		batch.Each(func(series int, v *gold.Version) {
			t.newest = max(t.newest, v.Stamp.Received)
			if v.Revision > 0 || v.Quality == reading.Corrected || v.Quality == reading.Withdrawn {
				t.corrections++
			}
			a.lanes[series].Add(v)
		})
	}
	return t, nil
}

// quarantine stores what is refused before the position passes it, which then rests
// on that.
func (a *worker) quarantine(ctx context.Context) error {
	messages, err := a.refused.Messages()
	if err != nil || len(messages) == 0 {
		return err
	}
	tracing.Keep(ctx, tracing.Quarantine)
	return a.retry(ctx, a.name, broker.IsRetryable, func() error {
		acks, err := a.Publisher.PublishAll(ctx, messages)
		end := quarantineEnd(a.position.Refused)
		end.RestOn(messages, acks)
		a.position.Refused = refusedOf(end)
		return err
	})
}

// headers returns what goes with the feed messages of a flush: its trace, which is kept
// when it restates what was final.
func headers(ctx context.Context, r *goldstore.Result) map[string]string {
	if r.Restated > 0 {
		tracing.Keep(ctx, tracing.Restatement)
	}
	return tracing.Headers(ctx)
}

// feed encodes what a flush changed.
func (a *worker) feed(id int64, changes []gold.Change) (subject string, payload []byte, err error) {
	return FeedMessage(a.partition, id, changes)
}

// FeedMessage returns the message for the GOLD feed about changes of a partition; id
// is its outbox entry's.
func FeedMessage(partition int, id int64, changes []gold.Change) (subject string, payload []byte, err error) {
	payload, err = wire.Changes(id, changes)
	return broker.GoldSubject(partition), payload, err
}

// retry calls what until it succeeds or fails for good, and reports how the
// worker is meanwhile.
func (d Deps) retry(ctx context.Context, name string, retryable func(error) bool, what func() error) error {
	return new(broker.Backoff).Retry(ctx, retryable, func(err error) {
		d.Report(name, err)
		if err != nil {
			tracing.Trouble(ctx, err)
			d.Logger.WarnContext(ctx, "worker retries", "worker", name, "error", err)
			d.Count.Retried(ctx)
		}
	}, what)
}

// outboxMessage is the feed message of an outbox entry.
func outboxMessage(e goldstore.OutboxEntry) *nats.Msg {
	m := nats.NewMsg(e.Subject)
	for key, value := range e.Headers {
		m.Header.Set(key, value)
	}
	m.Data = e.Payload
	return m
}
