package apply

import (
	"context"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
)

// made tells which answers the epochs since the applied one have changed, from the
// versions that rows keep: as they were known before the first of these epochs, and as
// they are, both of the readings that were there by then. So it is the same whenever
// it is asked, whatever has come in since (invariant 20).
func (a *application) made(ctx context.Context, applied uint64) (*Effect, error) {
	e := newEffect(nil)
	newest := a.at.Epoch
	all := a.epochs.All()
	old, _ := all.At(applied)
	next, _ := all.At(applied + 1)
	since := next.Activated().UnixNano()
	series, err := a.seriesOf(ctx, func(metric string) bool {
		return newest.JudgedSince(metric, applied) || newest.Folded(metric) > applied
	})
	if err != nil {
		return nil, err
	}
	there := func(v *gold.Version) bool { return max(v.Stamp.Received, v.Released) < since }
	for _, s := range series {
		err := a.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
			end, err := endOf(ctx, tx, s)
			if err != nil {
				return err
			}
			c := e.compare(s.Series, old, newest, end)
			err = eachRow(ctx, tx, s, func(r *goldstore.VersionsRow) error {
				var after []gold.Version
				for i := range r.Versions {
					if there(&r.Versions[i]) {
						after = append(after, r.Versions[i])
					}
				}
				key := gold.Key{Series: s.Series, Start: r.Start, Width: r.Width}
				before := gold.KnownAt(newest.History(), after, since-1)
				return c.row(key, before, after)
			})
			if err != nil {
				return err
			}
			return c.finish()
		})
		if err != nil {
			return nil, err
		}
	}
	return e, nil
}
