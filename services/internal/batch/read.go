package batch

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/job"
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

// read gathers the selected versions and stores the selected refusals. Streams are read
// side by side, each held until it has been read.
func (r *run) read(ctx context.Context) error {
	r.versions = make([]uint64, r.topology.Partitions)
	in := &reader{run: r, groups: gold.NewCollector(r.history.Catalog()), counts: goldstore.BatchCounts{
		Messages: make(map[string]uint64), Refused: make(map[string]uint64),
	}}
	streams := r.streams()
	unheld, held := int32(len(streams)), make(chan struct{}) // none is read before all are held
	g, working := errgroup.WithContext(ctx)
	for _, stream := range streams {
		g.Go(func() error {
			return r.hold(working, stream, func(ctx context.Context) error {
				if atomic.AddInt32(&unheld, -1) == 0 {
					r.meter.begin(r, "read", len(r.job.Units))
					close(held)
				}
				select {
				case <-held:
					return in.stream(ctx, stream)
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	if err := g.Wait(); err != nil {
		if !CanResume(err) { // what was to be read of the other streams is of no use either
			err = errors.Join(err, r.pace.positions.LetGo(ctx, r.held(streams...)))
		}
		return err
	}
	r.record.Counts = in.counts
	return nil
}

// stream gathers what the units of a stream give.
func (in *reader) stream(ctx context.Context, name string) error {
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range in.job.Units {
		u := &in.job.Units[i]
		if u.Stream != name {
			continue
		}
		g.Go(func() error {
			err := in.source.Each(working, u, 0, func(b *replay.Batch) error {
				if err := in.take(working, b); err != nil {
					return err
				}
				in.meter.tell(i, float64(b.Last-u.After)/float64(u.Until-u.After))
				return in.pace.wait(working, &in.meter)
			})
			in.meter.tell(i, 1)
			return err
		})
	}
	return g.Wait()
}

// take gathers what a batch gives.
func (in *reader) take(ctx context.Context, b *replay.Batch) error {
	refused, err := in.gather(b)
	if err != nil || in.Plan {
		return err
	}
	return in.addRefusals(ctx, refused)
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
				if selection.Takes(&series, &v) && takesSequence(selection, b.Unit, v.Stamp) {
					in.counts.Versions++
					in.versions[b.Partition(i)]++
					in.groups.Add(series, v)
				}
			}
		}
		for _, batch := range slices.Concat(part.Refused, part.Poison) {
			for _, row := range aggregator.QuarantineRows(batch) {
				if selection.TakesRefused(&row) && takesSequence(selection, b.Unit, row.Stamp) {
					in.counts.Refused[row.Stage+" "+row.Rule]++
					refused = append(refused, row)
				}
			}
		}
	}
	return refused, in.gathered.Add(0, in.groups.Take())
}

// takesSequence reports whether the message of a stamp is selected, where the messages
// that are read do not tell: a release is selected with its reading.
func takesSequence(s *job.Selection, u *replay.Unit, stamp reading.Stamp) bool {
	return !u.Releases || stamp.Sequence >= s.FirstSequence && (s.LastSequence == 0 || stamp.Sequence <= s.LastSequence)
}
