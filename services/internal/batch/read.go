package batch

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/replay"
)

// refusedAtOnce bounds the refusals that one statement stores.
const refusedAtOnce = 1000

// reader gathers what units give. Units are read at the same time.
type reader struct {
	*run
	mu     sync.Mutex
	counts goldstore.BatchCounts
	groups *gold.Collector
}

// read gathers the selected versions and stores the selected refusals.
func (r *run) read(ctx context.Context) error {
	r.versions = make([]uint64, r.topology.Partitions)
	in := &reader{run: r, groups: gold.NewCollector(r.history.Catalog()), counts: goldstore.BatchCounts{
		Messages: make(map[string]uint64), Refused: make(map[string]uint64),
	}}
	r.meter.begin(r, "read", len(r.job.Units))
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range r.job.Units {
		u := &r.job.Units[i]
		g.Go(func() error {
			err := r.source.Each(working, u, 0, func(b *replay.Batch) error {
				if err := in.take(working, b); err != nil {
					return err
				}
				r.meter.tell(i, float64(b.Last-u.After)/float64(u.Until-u.After))
				return r.pace.wait(working, &r.meter)
			})
			r.meter.tell(i, 1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.record.Counts = in.counts
	if !r.job.Rebuild {
		return nil
	}
	if err := r.stillHeld(ctx); err != nil {
		return err
	}
	return r.name(ctx)
}

// stillHeld returns ErrNotHeld when something of the range was removed before it could
// be read.
func (r *run) stillHeld(ctx context.Context) error {
	for i := range r.job.Units {
		u := &r.job.Units[i]
		stream, err := broker.Stream(ctx, r.JetStream, u.Stream)
		if err != nil {
			return err
		}
		if !u.Releases && stream.FirstSequence > u.After+1 {
			return fmt.Errorf("%w: %s begins at %d, the range after %d", ErrNotHeld, u.Stream, stream.FirstSequence, u.After)
		}
	}
	return nil
}

// take gathers what a batch gives.
func (in *reader) take(ctx context.Context, b *replay.Batch) error {
	refused, err := in.gather(b)
	if err != nil || in.Plan {
		return err
	}
	for chunk := range slices.Chunk(refused, refusedAtOnce) {
		if err := in.retry(ctx, func() error { return in.Store.AddRefusals(ctx, chunk) }); err != nil {
			return err
		}
	}
	return nil
}

// gather takes the versions of a batch in and returns its refusals.
func (in *reader) gather(b *replay.Batch) (refused []goldstore.QuarantineRow, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	selection := &in.job.Selection
	in.counts.Messages[b.Unit.Stream] += uint64(b.Messages)
	for i := range b.Parts {
		part := &b.Parts[i]
		in.counts.Readings += part.Readings
		for _, silver := range part.Silver {
			for series, v := range silver.Versions() {
				if selection.Takes(&series, &v) {
					in.counts.Versions++
					in.versions[b.Partition(i)]++
					in.groups.Add(series, v)
				}
			}
		}
		for _, batch := range part.Refused {
			for _, row := range aggregator.QuarantineRows(batch) {
				if selection.TakesRefused(&row) {
					in.counts.Refused[row.Stage+" "+row.Rule]++
					refused = append(refused, row)
				}
			}
		}
	}
	return refused, in.gathered.Add(0, in.groups.Take())
}

// name adds the stored rows of the selected series and times to what was gathered:
// also those that the replay gives nothing for are rebuilt.
func (r *run) name(ctx context.Context) error {
	selection := &r.job.Selection
	from, to := int64(math.MinInt64/4), int64(math.MaxInt64/2)
	if selection.EventFrom != 0 {
		from = selection.EventFrom
	}
	if selection.EventTo != 0 {
		to = selection.EventTo
	}
	return r.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
		series, err := tx.Series(ctx, goldstore.Selector{Entities: selection.Entities, Metrics: selection.Metrics})
		if err != nil {
			return err
		}
		ids, names := make([]int64, len(series)), make(map[int64]reading.Series, len(series))
		for i, s := range series {
			ids[i], names[s.ID] = s.ID, s.Series
		}
		return tx.RowKeys(ctx, ids, from, to, func(k goldstore.RowKey) error {
			key := gold.Key{Series: names[k.SeriesID], Start: k.Start, Width: k.Width}
			return r.gathered.Add(0, []gold.Group{{Key: key}})
		})
	})
}

// checkHeld refuses a rebuild of what the source holds no more.
func (r *run) checkHeld(ctx context.Context) error {
	if r.layer == replay.Silver {
		return fmt.Errorf("a rebuild replays readings or bronze: silver holds what was judged before")
	}
	s := &r.job.Selection
	if r.layer == replay.Bronze && (s.FirstSequence > 0 || s.LastSequence > 0) {
		return fmt.Errorf("a rebuild from bronze is selected by receive time: stamps do not tell sequences of BRONZE")
	}
	since, err := r.source.Held(ctx)
	if err != nil {
		return err
	}
	if since > math.MinInt64 && s.ReceivedFrom < since {
		return fmt.Errorf("%w: it holds what was received from %s on", ErrNotHeld, instant(since))
	}
	if r.layer == replay.Bronze {
		r.job.Bound, err = ingested(ctx, r.JetStream, r.topology)
	}
	return err
}

// replaced returns what tells the stored versions that a rebuild replaces: those
// whose reading the run has read. Releases stay, where BRONZE may hold them no more.
func (r *run) replaced() func(*gold.Version) bool {
	selection := &r.job.Selection
	shards := make(map[uint32]*replay.Unit)
	for i := range r.job.Units {
		if u := &r.job.Units[i]; u.Partition < 0 {
			shards[uint32(u.Shard)] = u
		}
	}
	return func(v *gold.Version) bool {
		if v.Waived || !selection.TakesTimes(v) {
			return false
		}
		if r.layer == replay.Bronze {
			return v.Stamp.Received < r.job.Bound
		}
		u, ok := shards[v.Stamp.Stream]
		return ok && v.Stamp.Received >= u.Created.UnixNano() &&
			v.Stamp.Sequence > u.After && v.Stamp.Sequence <= u.Until
	}
}

// keysOf returns the keys of windows in order.
func keysOf(windows map[goldstore.RowKey]*replay.Window) []goldstore.RowKey {
	return slices.SortedFunc(maps.Keys(windows), func(k, l goldstore.RowKey) int {
		switch {
		case replay.RowBefore(k, l):
			return -1
		case replay.RowBefore(l, k):
			return 1
		default:
			return 0
		}
	})
}
