package query

import (
	"context"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
)

// past is gold as it was known at a time: the folds of the versions that were in
// force then, under the catalogue of then. What rows count of their own life is
// not known of the past.
type past struct {
	tx      *goldstore.ReadTx
	history catalog.History // of all epochs, so that later ones are known as such
	catalog *catalog.Catalog
	at      int64 // Unix ns
	series  map[int64]*goldstore.Series
}

func newPast(
	tx *goldstore.ReadTx, h catalog.History, c *catalog.Catalog, series []goldstore.Series, at int64,
) *past {
	p := &past{tx: tx, history: h, catalog: c, at: at, series: make(map[int64]*goldstore.Series, len(series))}
	for i := range series {
		p.series[series[i].ID] = &series[i]
	}
	return p
}

// row returns what a row was; ok is false when there was none.
func (p *past) row(r *goldstore.VersionsRow) (row goldstore.StatsRow, ok bool) {
	r.Versions = gold.KnownAt(p.history, r.Versions, p.at)
	if len(r.Versions) == 0 {
		return row, false
	}
	then := gold.NewRow(p.catalog, gold.Key{
		Series: p.series[r.SeriesID].Series, Start: r.Start, Width: r.Width,
	}, r.Versions)
	return goldstore.StatsRow{RowKey: r.RowKey, Stats: then.Stats, Standing: then.Standing, Epoch: then.Epoch}, true
}

// Rows is that of the store.
func (p *past) Rows(ctx context.Context, ids []int64, from, to int64, fn func(*goldstore.StatsRow) error) error {
	return p.tx.VersionRows(ctx, ids, from, to, func(r *goldstore.VersionsRow) error {
		if row, ok := p.row(r); ok {
			return fn(&row)
		}
		return nil
	})
}

// walk calls fn for the rows of a series from t on, backwards those before it,
// until it returns false.
func (p *past) walk(
	ctx context.Context, id, t int64, backwards bool, fn func(*goldstore.VersionsRow, *goldstore.StatsRow) bool,
) error {
	for limit := 16; ; limit = min(2*limit, 4096) {
		rows, err := p.tx.VersionsFrom(ctx, id, t, backwards, limit)
		if err != nil {
			return err
		}
		for i := range rows {
			if row, ok := p.row(&rows[i]); ok && !fn(&rows[i], &row) {
				return nil
			}
		}
		if len(rows) < limit {
			return nil
		}
		if t = rows[len(rows)-1].Start; !backwards {
			t += int64(time.Microsecond) // the store's tick
		}
	}
}

// neighbour calls fn for the nearest row with readings on a side of t.
func (p *past) neighbour(
	ctx context.Context, id, t int64, backwards bool, fn func(*goldstore.Neighbour) error,
) error {
	var nearest goldstore.Neighbour
	found := false
	err := p.walk(ctx, id, t, backwards, func(_ *goldstore.VersionsRow, row *goldstore.StatsRow) bool {
		if row.Stats.Count == 0 {
			nearest.Emptied = max(nearest.Emptied, row.Standing.Settled)
			return true
		}
		nearest.StatsRow, found = *row, true
		return false
	})
	if err != nil || !found {
		return err
	}
	return fn(&nearest)
}

// LastBefore is that of the store.
func (p *past) LastBefore(ctx context.Context, id, t int64, fn func(*goldstore.Neighbour) error) error {
	return p.neighbour(ctx, id, t, true, fn)
}

// FirstFrom is that of the store.
func (p *past) FirstFrom(ctx context.Context, id, t int64, fn func(*goldstore.Neighbour) error) error {
	return p.neighbour(ctx, id, t, false, fn)
}

// Bounds is that of the store.
func (p *past) Bounds(ctx context.Context, series []goldstore.Series) (map[int64]goldstore.Bounds, error) {
	bounds := make(map[int64]goldstore.Bounds, len(series))
	for i := range series {
		id := series[i].ID
		var b goldstore.Bounds
		found := false
		err := p.FirstFrom(ctx, id, earliest.UnixNano(), func(r *goldstore.Neighbour) error {
			b.FirstStart, b.FirstAt, found = r.Start, r.Stats.FirstAt, true
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		// No catalogue admits readings of times that are a year ahead.
		behind := min(latest.UnixNano(), p.at+int64(366*24*time.Hour))
		err = p.LastBefore(ctx, id, behind, func(r *goldstore.Neighbour) error {
			b.LastStart, b.LastAt = r.Start, r.Stats.LastAt
			return nil
		})
		if err != nil {
			return nil, err
		}
		err = p.Rows(ctx, []int64{id}, b.LastStart-int64(p.series[id].Reach), math.MaxInt64,
			func(r *goldstore.StatsRow) error {
				b.Reach = max(b.Reach, r.Stats.Reach)
				return nil
			})
		if err != nil {
			return nil, err
		}
		bounds[id] = b
	}
	return bounds, nil
}

// Pieces is that of the store, without folds: nobody keeps those of the past.
func (p *past) Pieces(ctx context.Context, asks []goldstore.Ask) ([]goldstore.Pieces, error) {
	all := make([]goldstore.Pieces, len(asks))
	for i := range asks {
		if err := p.pieces(ctx, &asks[i], &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *past) pieces(ctx context.Context, a *goldstore.Ask, out *goldstore.Pieces) error {
	id := a.Series.ID
	if a.Expect {
		err := p.Rows(ctx, []int64{id}, a.Bounds.FirstStart, a.Bounds.FirstStart+1, func(r *goldstore.StatsRow) error {
			out.Expect = &stored(a.Metric, r).Summary
			return nil
		})
		if err != nil {
			return err
		}
	}
	neighbour := func(n *goldstore.Neighbour) error {
		s := stored(a.Metric, &n.StatsRow)
		s.Emptied = n.Emptied
		out.Add(s, nil)
		return nil
	}
	if !a.Metric.Paired() {
		return p.spread(ctx, a, out)
	}
	from, to := a.Span()
	at, needed := a.Before()
	if !a.Continues {
		from = at
	}
	if needed {
		if err := p.LastBefore(ctx, id, at, neighbour); err != nil {
			return err
		}
	}
	cut := make(map[int64]bool)
	a.CutRows(cut)
	err := p.tx.VersionRows(ctx, []int64{id}, from, to, func(r *goldstore.VersionsRow) error {
		row, ok := p.row(r)
		if !ok {
			return nil
		}
		var versions []gold.Version
		if cut[r.Start] {
			versions = r.Versions
		}
		out.Add(stored(a.Metric, &row), versions)
		return nil
	})
	if at, needed := a.Behind(); err == nil && needed {
		err = p.FirstFrom(ctx, id, at, neighbour)
	}
	return err
}

// stored returns a row as an aggregator takes it.
func stored(m *catalog.Metric, r *goldstore.StatsRow) *gold.Stored {
	s := &gold.Stored{Start: r.Start, Width: r.Width, Summary: gold.Summarize(m, r.Start, r.Width, r.Stats)}
	s.Standing = r.Standing
	return s
}

// spread puts the pieces of rows of a metric that is not Paired into out.
func (p *past) spread(ctx context.Context, a *goldstore.Ask, out *goldstore.Pieces) error {
	from := a.From
	if _, flags := gold.LooksBack(a.Metric); flags && from > a.Bounds.FirstStart && !a.Continues {
		from = a.Bounds.FirstStart
		at, _ := a.Before()
		err := p.LastBefore(ctx, a.Series.ID, at, func(n *goldstore.Neighbour) error {
			from = n.Start
			return nil
		})
		if err != nil {
			return err
		}
	}
	spread := gold.NewSpread(a.Metric, a.Windows, from, a.To, func(s *gold.Stored) error {
		if s.Start < a.From {
			out.Preceding = append(out.Preceding, s.Stats)
		} else {
			kept := *s
			out.Add(&kept, nil)
		}
		return nil
	})
	spread.SetHistory(a.History)
	since := from - int64(a.Series.Reach)
	err := p.tx.VersionRows(ctx, []int64{a.Series.ID}, since, a.To, func(r *goldstore.VersionsRow) error {
		row, ok := p.row(r)
		if !ok {
			return nil
		}
		return spread.Add(stored(a.Metric, &row), r.Versions)
	})
	if err != nil {
		return err
	}
	return spread.Finish()
}
