package query

import (
	"context"
	"math"
	"slices"
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

// lastBefore is LastBefore of the store, firstFrom FirstFrom.
func (p *past) lastBefore(ctx context.Context, places []goldstore.Place) ([]*goldstore.Neighbour, error) {
	return p.nearest(ctx, places, p.tx.VersionsBefore)
}

func (p *past) firstFrom(ctx context.Context, places []goldstore.Place) ([]*goldstore.Neighbour, error) {
	return p.nearest(ctx, places, p.tx.VersionsFrom)
}

// near is how rows nearest to places are read, in the order of their distance.
type near func(ctx context.Context, places []goldstore.Place, limit int) ([][]goldstore.VersionsRow, error)

// Bounds of the rows that are read at once in search of neighbours, of all places and
// of one: a row has hundreds of versions.
const (
	maxNear   = 1 << 14
	maxNearBy = 1 << 10
)

// nearest returns for each place the nearest row with readings, nil where there is
// none.
func (p *past) nearest(ctx context.Context, places []goldstore.Place, read near) ([]*goldstore.Neighbour, error) {
	found, emptied := make([]*goldstore.Neighbour, len(places)), make([]int64, len(places))
	open := make([]int, len(places))
	for i := range open {
		open[i] = i
	}
	left := slices.Clone(places)
	for limit := 1; len(open) > 0; limit = min(4*limit, maxNearBy, 1+maxNear/(1+len(open))) {
		rows, err := read(ctx, left, limit)
		if err != nil {
			return nil, err
		}
		still := 0
		for n, i := range open {
			for k := range rows[n] {
				if row, ok := p.row(&rows[n][k]); ok && row.Stats.Count == 0 {
					emptied[i] = max(emptied[i], row.Standing.Settled)
				} else if ok {
					found[i] = &goldstore.Neighbour{StatsRow: row, Emptied: emptied[i]}
					break
				}
			}
			if found[i] == nil && len(rows[n]) == limit {
				open[still], left[still] = i, beyond(left[n], rows[n])
				still++
			}
		}
		open, left = open[:still], left[:still]
	}
	return found, nil
}

// beyond returns where to look on behind rows that were read near a place.
func beyond(at goldstore.Place, rows []goldstore.VersionsRow) goldstore.Place {
	last := rows[len(rows)-1].Start
	if last >= at.At {
		last += int64(time.Microsecond) // the store's tick
	}
	at.At = last
	return at
}

// Bounds is that of the store.
func (p *past) Bounds(ctx context.Context, series []goldstore.Series) (map[int64]goldstore.Bounds, error) {
	places := func(at int64) []goldstore.Place {
		out := make([]goldstore.Place, len(series))
		for i := range series {
			out[i] = goldstore.Place{Series: &series[i], At: at}
		}
		return out
	}
	first, err := p.firstFrom(ctx, places(earliest.UnixNano()))
	if err != nil {
		return nil, err
	}
	// No catalogue admits readings of times that are a year ahead.
	behind := min(latest.UnixNano(), p.at+int64(366*24*time.Hour))
	last, err := p.lastBefore(ctx, places(behind))
	if err != nil {
		return nil, err
	}
	bounds := make(map[int64]goldstore.Bounds, len(series))
	var ends []goldstore.Span
	for i := range series {
		f, l := first[i], last[i]
		if f == nil || l == nil {
			continue
		}
		id := series[i].ID
		bounds[id] = goldstore.Bounds{
			FirstStart: f.Start, FirstAt: f.Stats.FirstAt, LastStart: l.Start, LastAt: l.Stats.LastAt,
		}
		ends = append(ends, goldstore.Span{ID: id, From: l.Start - int64(series[i].Reach), To: math.MaxInt64})
	}
	err = p.tx.VersionRows(ctx, ends, func(i int, r *goldstore.VersionsRow) error {
		if row, ok := p.row(r); ok {
			b := bounds[ends[i].ID]
			b.Reach = max(b.Reach, row.Stats.Reach)
			bounds[ends[i].ID] = b
		}
		return nil
	})
	return bounds, err
}

// Pieces is that of the store, without folds: nobody keeps those of the past.
func (p *past) Pieces(ctx context.Context, asks []goldstore.Ask) ([]goldstore.Pieces, error) {
	before, err := goldstore.Nearest(ctx, asks, (*goldstore.Ask).Before, p.lastBefore)
	if err != nil {
		return nil, err
	}
	behind, err := goldstore.Nearest(ctx, asks, (*goldstore.Ask).Behind, p.firstFrom)
	if err != nil {
		return nil, err
	}
	out := make([]goldstore.Pieces, len(asks))
	var (
		spans []goldstore.Span
		takes []func(*goldstore.VersionsRow, *gold.Stored) error // the rows of each span
		ends  []func() error
	)
	read := func(s goldstore.Span, take func(*goldstore.VersionsRow, *gold.Stored) error) {
		spans, takes = append(spans, s), append(takes, take)
	}
	for i := range asks {
		a, pieces := &asks[i], &out[i]
		if a.Expect {
			first := goldstore.Span{ID: a.Series.ID, From: a.Bounds.FirstStart, To: a.Bounds.FirstStart + 1}
			read(first, func(_ *goldstore.VersionsRow, row *gold.Stored) error {
				pieces.Expect = &row.Summary
				return nil
			})
		}
		if a.Metric.Paired() {
			span, take := pairedRows(a, pieces, before[i])
			read(span, take)
			if n := behind[i]; n != nil {
				ends = append(ends, func() error { addNeighbour(a, pieces, n); return nil })
			}
			continue
		}
		span, spread := spreadRows(a, pieces, before[i])
		read(span, func(r *goldstore.VersionsRow, row *gold.Stored) error { return spread.Add(row, r.Versions) })
		ends = append(ends, spread.Finish)
	}
	err = p.tx.VersionRows(ctx, spans, func(n int, r *goldstore.VersionsRow) error {
		row, ok := p.row(r)
		if !ok {
			return nil
		}
		return takes[n](r, stored(p.metric(r), &row))
	})
	for _, end := range ends {
		if err == nil {
			err = end()
		}
	}
	return out, err
}

// metric returns the metric of a row.
func (p *past) metric(r *goldstore.VersionsRow) *catalog.Metric {
	return p.catalog.Metric(p.series[r.SeriesID].Series)
}

// pairedRows returns the rows that an ask of a metric that is Paired needs, and what
// puts them into out, where the row before them is already.
func pairedRows(a *goldstore.Ask, out *goldstore.Pieces, before *goldstore.Neighbour) (
	goldstore.Span, func(*goldstore.VersionsRow, *gold.Stored) error,
) {
	from, to := a.Span()
	if at, _ := a.Before(); !a.Continues {
		from = at
	}
	if before != nil {
		addNeighbour(a, out, before)
	}
	cut := make(map[int64]bool)
	a.CutRows(cut)
	return goldstore.Span{ID: a.Series.ID, From: from, To: to},
		func(r *goldstore.VersionsRow, row *gold.Stored) error {
			var versions []gold.Version
			if cut[r.Start] {
				versions = r.Versions
			}
			out.Add(row, versions)
			return nil
		}
}

func addNeighbour(a *goldstore.Ask, out *goldstore.Pieces, n *goldstore.Neighbour) {
	s := stored(a.Metric, &n.StatsRow)
	s.Emptied = n.Emptied
	out.Add(s, nil)
}

// spreadRows returns the rows that an ask of a metric that is not Paired needs, and
// what puts pieces of them into out.
func spreadRows(
	a *goldstore.Ask, out *goldstore.Pieces, before *goldstore.Neighbour,
) (goldstore.Span, *gold.Spread) {
	from := a.From
	if _, flags := gold.LooksBack(a.Metric); flags && from > a.Bounds.FirstStart && !a.Continues {
		from = a.Bounds.FirstStart
		if before != nil {
			from = before.Start
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
	return goldstore.Span{ID: a.Series.ID, From: from - int64(a.Series.Reach), To: a.To}, spread
}

// stored returns a row as an aggregator takes it.
func stored(m *catalog.Metric, r *goldstore.StatsRow) *gold.Stored {
	s := &gold.Stored{Start: r.Start, Width: r.Width, Summary: gold.Summarize(m, r.Start, r.Width, r.Stats)}
	s.Standing = r.Standing
	return s
}
