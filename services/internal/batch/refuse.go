package batch

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/aggregator"
)

// isolate stores what can be of a window that failed for what it holds, refuses the
// rest as gold-aggregator does, and moves the record behind it.
func (w *writer) isolate(ctx context.Context, k goldstore.RowKey, g *gold.Group, cause error) error {
	for {
		fit, refused := []gold.Group(nil), g.Versions
		if errors.Is(cause, goldstore.ErrRowFull) {
			some := gold.Group{Key: g.Key}
			var err error
			if some.Versions, refused, err = w.room(ctx, k, g.Versions); err != nil {
				return err
			}
			fit = []gold.Group{some}
		}
		before := w.tally
		if err := w.refuse(ctx, g, refused, cause); err != nil {
			return err
		}
		err := w.store(ctx, fit, k)
		if !goldstore.IsRowFault(err) {
			return err
		}
		w.tally, cause = before, err // others have written the row meanwhile, or it fails for more
	}
}

// room divides versions of a row that does not take all of them. It has those that it
// has, and gets as many as fit in the order of their stamps, as if they had come one by
// one. A merge does not bring what was refused once.
func (w *writer) room(
	ctx context.Context, k goldstore.RowKey, all []gold.Version,
) (fit, refused []gold.Version, err error) {
	var stored []gold.Version
	earlier := make(map[reading.Stamp]struct{})
	look := func(tx *goldstore.ReadTx) error {
		if !w.job.Rebuild {
			stamps := make([]reading.Stamp, len(all))
			for i := range all {
				stamps[i] = all[i].Stamp
			}
			if earlier, err = tx.RefusedStamps(ctx, aggregator.Stage, stamps); err != nil {
				return err
			}
		}
		from, to := k, k
		from.Width, to.Width, to.Start = 0, 0, k.Start+1
		return tx.Content(ctx, from, to, func(r *goldstore.ContentRow) error {
			if r.Width != k.Width {
				return nil
			}
			stored, err = r.Versions()
			return err
		})
	}
	err = w.retry(ctx, func() error { return w.Store.Read(ctx, look) })
	if err != nil {
		return nil, nil, err
	}
	if w.job.Rebuild {
		var failed error
		stored = slices.DeleteFunc(stored, func(v gold.Version) bool {
			gone, err := w.replaced(&v)
			failed = cmp.Or(failed, err)
			return gone
		})
		if failed != nil {
			return nil, nil, failed
		}
	}
	var fresh []gold.Version
	for i := range all {
		v := &all[i]
		_, has := slices.BinarySearchFunc(stored, v, func(a gold.Version, b *gold.Version) int { return gold.Compare(&a, b) })
		_, was := earlier[v.Stamp]
		switch {
		case has:
			fit = append(fit, *v)
		case was:
			refused = append(refused, *v)
		default:
			fresh = append(fresh, *v)
		}
	}
	slices.SortFunc(fresh, func(a, b gold.Version) int { return a.Stamp.Compare(b.Stamp) })
	free := min(max(gold.MaxVersions-len(stored), 0), len(fresh))
	return gold.Normalize(append(fit, fresh[:free]...)), append(refused, fresh[free:]...), nil
}

// refuse puts versions of a window that cannot be stored into quarantine.
func (w *writer) refuse(ctx context.Context, g *gold.Group, versions []gold.Version, cause error) error {
	w.tally.Limited += uint64(len(versions))
	if w.Plan {
		return nil
	}
	rows := make([]goldstore.QuarantineRow, len(versions))
	for i := range versions {
		r := aggregator.Refusal(g, &versions[i], cause)
		rows[i] = goldstore.QuarantineRow{
			Stamp: r.Stamp, Stage: aggregator.Stage, Rule: reading.Limit.String(), Epoch: versions[i].Epoch,
			Rules: r.Rules, Reading: r.Reading, Detail: r.Detail,
		}
	}
	return w.addRefusals(ctx, rows)
}

// addRefusals stores entries of the quarantine. One that cannot be stored for what it
// holds becomes one that can, as gold-aggregator makes of it.
func (r *run) addRefusals(ctx context.Context, rows []goldstore.QuarantineRow) error {
	for chunk := range slices.Chunk(rows, refusedAtOnce) {
		err := r.retry(ctx, func() error { return r.Store.AddRefusals(ctx, chunk) })
		switch {
		case err == nil:
			continue
		case !goldstore.IsEntryFault(err):
			return err
		case len(chunk) == 1:
			unstorable := aggregator.Unstorable(&chunk[0], err)
			if err := r.retry(ctx, func() error { return r.Store.AddRefusals(ctx, unstorable) }); err != nil {
				return err
			}
			continue
		}
		half := len(chunk) / 2
		if err := r.addRefusals(ctx, chunk[:half]); err != nil {
			return err
		}
		if err := r.addRefusals(ctx, chunk[half:]); err != nil {
			return err
		}
	}
	return nil
}
