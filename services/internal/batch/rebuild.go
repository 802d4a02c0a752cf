package batch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/replay"
)

// begins returns replay.ErrNotHeld when the streams do not hold the beginning of what
// is selected. A rebuild is to have all of it: where it names no beginning, no version
// in gold may have been received before the streams were made.
func (r *run) begins(ctx context.Context) error {
	if r.job.Rebuild {
		if err := r.canRebuild(); err != nil {
			return err
		}
	}
	open, err := r.source.Begins(ctx, r.job.Rebuild)
	if err != nil || open == 0 || !r.job.Rebuild {
		return err
	}
	return r.rows(ctx, func(series reading.Series, k *goldstore.RowKey, received int64) error {
		if received == 0 || received >= open {
			return nil
		}
		return fmt.Errorf("%w: it was made %s, and %s has readings of %s that were received before; "+
			"give a beginning that it holds", replay.ErrNotHeld, instant(open), series, instant(k.Start))
	})
}

// canRebuild refuses what a rebuild cannot be made of.
func (r *run) canRebuild() error {
	s := &r.job.Selection
	switch {
	case r.layer == replay.Silver:
		return errors.New("a rebuild replays readings or bronze: silver holds what was judged before")
	case r.layer == replay.Bronze && (s.FirstSequence > 0 || s.LastSequence > 0):
		return errors.New("a rebuild from bronze is selected by receive time: stamps do not tell sequences of BRONZE")
	}
	return nil
}

// rebuilds readies what was gathered for a rebuild.
func (r *run) rebuilds(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	return r.name(ctx)
}

// name adds the stored rows of the selected series and times to what was gathered:
// also those that the replay gives nothing for are rebuilt.
func (r *run) name(ctx context.Context) error {
	return r.rows(ctx, func(series reading.Series, k *goldstore.RowKey, _ int64) error {
		key := gold.Key{Series: series, Start: k.Start, Width: k.Width}
		return r.gathered.Add(0, []gold.Group{{Key: key}})
	})
}

// rows calls fn with each stored row of the selected series and times, and the least
// receive time of its versions, 0 when that is not known.
func (r *run) rows(ctx context.Context, fn func(reading.Series, *goldstore.RowKey, int64) error) error {
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
		return tx.RowKeys(ctx, ids, from, to, func(k goldstore.RowKey, received int64) error {
			return fn(names[k.SeriesID], &k, received)
		})
	})
}

// replaced tells the stored versions of a partition that a rebuild replaces: those
// whose message the run has read. A version of a message that the streams hold no
// more, or never held since they were made anew, stays: nothing could be given in its
// place. So do releases, of which BRONZE may hold no more.
func (w *writer) replaced(v *gold.Version) (bool, error) {
	if v.Waived || !w.job.Selection.TakesTimes(v) {
		return false, nil
	}
	return w.source.Trail.Has(w.partition, v.Stamp)
}

func instant(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
