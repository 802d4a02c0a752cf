package batch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/replay"
)

const (
	writers = 2 // partitions that are worked on at a time
	// A transaction takes as many windows, or those with as many versions.
	windowsAtOnce  = 500
	versionsAtOnce = 20_000
)

// writer works through the windows of one partition.
type writer struct {
	*run
	partition int
	gold      *goldstore.Writer
	at        goldstore.RowKey // the last window that is done
	tally     goldstore.BatchTally
	written   uint64 // versions
}

// write brings what was gathered into gold.
func (r *run) write(ctx context.Context) error {
	parts, err := r.parts(ctx)
	if err != nil {
		return err
	}
	r.meter.begin(r, "write", len(parts))
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	done := make([]*writer, len(parts))
	for i := range parts {
		w := &writer{
			run: r, partition: parts[i].Partition, at: parts[i].At, tally: parts[i].Tally,
			gold: r.Store.NewWriter(uint32(parts[i].Partition), r.history.Catalog(), goldstore.WriterConfig{CacheBytes: -1}),
		}
		done[i] = w
		g.Go(func() error {
			from := goldstore.RowKey{SeriesID: w.at.SeriesID, Start: w.at.Start + 1}
			err := w.drain(working) // what a run that was killed has left
			if err == nil {
				err = w.span(working, from, goldstore.RowKey{SeriesID: math.MaxInt64, Start: math.MaxInt64})
			}
			if err != nil {
				return fmt.Errorf("partition %d: %w", w.partition, err)
			}
			r.meter.tell(i, 1)
			return nil
		})
	}
	err = g.Wait()
	r.record.Changes = goldstore.BatchTally{}
	for _, w := range done {
		r.record.Changes.Sum(w.tally)
	}
	return err
}

// parts returns how far the run is, by partition.
func (r *run) parts(ctx context.Context) (parts []goldstore.BatchPart, err error) {
	err = r.retry(ctx, func() error {
		return r.Store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
			parts, err = tx.BatchParts(ctx, r.record.ID)
			return err
		})
	})
	return parts, err
}

// span works through the windows with from ≤ key < to.
func (w *writer) span(ctx context.Context, from, to goldstore.RowKey) error {
	windows, middle, err := w.gathered.Load(w.partition, from, to, w.MaxVersions)
	if err != nil {
		return err
	}
	if windows == nil {
		if err := w.span(ctx, from, middle); err != nil {
			return err
		}
		return w.span(ctx, middle, to)
	}
	for keys := slices.SortedFunc(maps.Keys(windows), goldstore.RowKey.Compare); len(keys) > 0; {
		n, versions := 0, 0
		for n < len(keys) && n < windowsAtOnce && (n == 0 || versions < versionsAtOnce) {
			versions += len(windows[keys[n]].Versions[0])
			n++
		}
		if err := w.chunk(ctx, windows, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
		w.written += uint64(versions)
		w.meter.tell(w.partition, float64(w.written)/float64(max(w.versions[w.partition], w.written, 1)))
		if err := w.pace.wait(ctx, &w.meter); err != nil {
			return err
		}
	}
	return nil
}

// chunk brings some windows into gold, and the record behind them. Where they cannot
// be stored for what they hold they are bisected until those that cannot are found.
func (w *writer) chunk(
	ctx context.Context, windows map[goldstore.RowKey]*replay.Window, keys []goldstore.RowKey,
) error {
	groups := make([]gold.Group, len(keys))
	for i, k := range keys {
		groups[i] = gold.Group{Key: windows[k].Key, Versions: windows[k].Versions[0]}
	}
	slices.SortFunc(groups, func(a, b gold.Group) int { return a.Key.Compare(b.Key) })
	err := w.store(ctx, groups, keys[len(keys)-1])
	switch {
	case !goldstore.IsRowFault(err):
		return err
	case len(keys) == 1:
		return w.isolate(ctx, keys[0], &groups[0], err)
	}
	half := len(keys) / 2
	if err := w.chunk(ctx, windows, keys[:half]); err != nil {
		return err
	}
	return w.chunk(ctx, windows, keys[half:])
}

// store brings windows into gold, moves the record behind the last and publishes what
// changed.
func (w *writer) store(ctx context.Context, groups []gold.Group, last goldstore.RowKey) error {
	f := goldstore.Flush{Cause: gold.CauseBatch, Groups: groups}
	if w.job.Rebuild {
		f.Replaced = w.replaced
	}
	if w.feed != nil {
		f.Feed = func(id int64, changes []gold.Change) (string, []byte, error) {
			return aggregator.FeedMessage(w.partition, id, changes)
		}
	}
	result, err := w.flush(ctx, f, last)
	if err != nil {
		return err
	}
	w.at = goldstore.RowKey{SeriesID: last.SeriesID, Start: last.Start}
	w.tally.Add(&result)
	w.tell(result.Changes)
	if len(result.Outbox) == 0 {
		return nil
	}
	return w.drain(ctx)
}

// drain publishes what waits in the partition's outbox, if it goes anywhere.
func (w *writer) drain(ctx context.Context) error {
	if w.feed == nil || w.Plan {
		return nil
	}
	retryable := func(err error) bool {
		_, published := errors.AsType[*broker.PublishError](err)
		return published && broker.IsRetryable(err) || goldstore.IsRetryable(err)
	}
	return new(broker.Backoff).Retry(ctx, retryable, w.warn(ctx), func() error {
		return aggregator.Drain(ctx, w.Store, w.feed, uint32(w.partition))
	})
}

// flush stores windows, or finds what that would do.
func (w *writer) flush(
	ctx context.Context, f goldstore.Flush, last goldstore.RowKey,
) (result goldstore.Result, err error) {
	err = w.retry(ctx, func() (err error) {
		if w.Plan {
			result, err = w.gold.Plan(ctx, f)
			return err
		}
		f.Batch = &goldstore.BatchMove{
			Batch: w.record.ID, Partition: w.partition, From: w.at, To: last, Tally: w.tally,
		}
		result, err = w.gold.Flush(ctx, f)
		return err
	})
	if errors.Is(err, goldstore.ErrPositionMoved) {
		return result, w.stored(ctx, last, err)
	}
	if errors.Is(err, goldstore.ErrCatalogBehind) {
		err = fmt.Errorf("%w: %w", ErrOtherEpoch, err)
	}
	return result, err
}

// stored returns nil when the record stands behind the windows all the same: the
// connection was lost while they were committed.
func (w *writer) stored(ctx context.Context, last goldstore.RowKey, moved error) error {
	parts, err := w.parts(ctx)
	if err != nil {
		return err
	}
	at := parts[w.partition]
	if at.At.SeriesID != last.SeriesID || at.At.Start != last.Start {
		return fmt.Errorf("batch %s is run by another process: %w", w.record.ID, moved)
	}
	w.tally = at.Tally
	return w.drain(ctx) // nobody was told of it
}

// tell reports what a plan would change.
func (r *run) tell(changes []gold.Change) {
	if r.Changed == nil || !r.Plan {
		return
	}
	for i := range changes {
		r.Changed(&changes[i])
	}
}

// retry calls what, which is done to gold, until it succeeds or fails for good.
func (r *run) retry(ctx context.Context, what func() error) error {
	return new(broker.Backoff).Retry(ctx, goldstore.IsRetryable, r.warn(ctx), what)
}

// ask is retry of what the broker is asked.
func (r *run) ask(ctx context.Context, what func() error) error {
	return new(broker.Backoff).Retry(ctx, broker.IsRetryable, r.warn(ctx), what)
}

func (r *run) warn(ctx context.Context) func(error) {
	return func(err error) {
		if err != nil {
			r.Logger.WarnContext(ctx, "batch retries", "batch", r.record.ID, "error", err)
		}
	}
}
