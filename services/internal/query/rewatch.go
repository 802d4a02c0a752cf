package query

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// span is a stretch of time, in Unix ns.
type span struct{ from, to int64 }

// answers evaluates the windows of a series that changed rows touch.
func (w *watch) answers(
	ctx context.Context, tx *goldstore.ReadTx, s reading.Series, rows []wire.ChangedRow,
	emit func(*energyv1.WatchAggregatesResponse) error,
) error {
	exactly := selection{series: goldstore.Selector{Entities: []string{s.EntityID}, Metrics: []string{s.Metric}}}
	exactly.entities = w.entities
	all, registry, err := exactly.find(ctx, tx, goldstore.Page{}, w.registered())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(one goldstore.Series) bool { return one.Series == s })
	if i < 0 {
		return nil
	}
	c := w.server.epochs().Newest()
	e := evaluation{
		watch: w, tx: tx, series: all[i], catalog: c, metric: c.Metric(s), now: w.server.now().UnixNano(), emit: emit,
	}
	if err := w.fits(e.metric, s); err != nil {
		return err
	}
	bounds, err := tx.Bounds(ctx, all[i:i+1])
	if err != nil {
		return err
	}
	if e.touched, err = e.spans(ctx, rows); err != nil {
		return err
	}
	pieces, err := w.pieces(registry[s.EntityID], s.EntityID, e.metric.Window)
	if err != nil {
		return err
	}
	for i := range pieces {
		if err := e.piece(ctx, &pieces[i], bounds); err != nil {
			return err
		}
	}
	return nil
}

// evaluation answers the windows of one series that changes touch.
type evaluation struct {
	*watch
	tx      *goldstore.ReadTx
	series  goldstore.Series
	catalog *catalog.Catalog
	metric  *catalog.Metric
	now     int64 // Unix ns
	touched []touched
	emit    func(*energyv1.WatchAggregatesResponse) error
}

// piece answers the touched windows of a piece.
func (e *evaluation) piece(ctx context.Context, p *piece, bounds map[int64]goldstore.Bounds) error {
	for _, span := range inWindows(p, e.touched) {
		var out []*energyv1.Aggregate
		answered := make(map[int64]bool)
		flush := func() error {
			if len(out) == 0 {
				return nil
			}
			message := &energyv1.WatchAggregatesResponse{
				Series: wire.SeriesKey(e.series.Series), Kind: energyv1.Kind(e.metric.Kind),
				EnergyUnit: e.metric.EnergyUnit, PowerUnit: e.metric.PowerUnit, Aggregates: out,
			}
			out = nil
			return e.emit(message)
		}
		take := func(g *gold.Aggregate) error {
			answered[g.Start] = true
			a := aggregateOf(e.metric, g)
			a.MeanPower = meanPower(e.metric, g, g.End-g.Start)
			a.Date = p.windows.Date(g.Start)
			setFinality(e.metric, g, e.now, a)
			if out = append(out, a); len(out) < chunk {
				return nil
			}
			return flush()
		}
		if b, ok := bounds[e.series.ID]; ok {
			asked := timeRange{start: span.from, end: span.to}
			from, until := asked.answered(b)
			all := answers{from: e.tx, history: e.catalog.History()}
			err := all.add(ctx, answer{
				series: e.series, bounds: b, metric: e.metric, windows: p.windows, from: from, until: until, take: take,
			})
			if err == nil {
				err = all.end(ctx)
			}
			if err != nil {
				return err
			}
		}
		if err := e.emptied(ctx, p, span, answered, take); err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// widest bounds the windows on either side of a change that a watch delivers for
// it: after a silence of years in small windows the farther ones are left to the
// next query.
const widest = 5000

// farthest keeps sums of times from overflowing, in ns: 73 years.
const farthest = 1 << 61

// touched is times that a change touches, those of the changed row among them.
type touched struct{ span, row span }

// spans returns the times that rows touch: their own, and those that their
// readings reach or reached into. Where a row's edge moved, what lies between its
// readings and their neighbours changed too, if the metric accounts for that, and
// the flags of the next reading.
func (e *evaluation) spans(ctx context.Context, rows []wire.ChangedRow) ([]touched, error) {
	all := make([]touched, 0, len(rows))
	back, linked := gold.LooksBack(e.metric)
	var before, behind []goldstore.Place
	for i := range rows {
		if row := &rows[i]; row.EdgeMoved {
			before = append(before, goldstore.Place{Series: &e.series, At: row.Start})
			behind = append(behind, goldstore.Place{Series: &e.series, At: row.End})
		}
	}
	var previous, next []*goldstore.Neighbour
	var err error
	if e.metric.Paired() {
		previous, err = e.tx.LastBefore(ctx, before)
	}
	if err == nil && (e.metric.Paired() || linked) {
		next, err = e.tx.FirstFrom(ctx, behind)
	}
	if err != nil {
		return nil, err
	}
	// first returns the neighbour of the next row whose edge moved, nil if it has none.
	first := func(of *[]*goldstore.Neighbour) (n *goldstore.Neighbour) {
		if len(*of) > 0 {
			n, *of = (*of)[0], (*of)[1:]
		}
		return n
	}
	for i := range rows {
		row := span{rows[i].Start, rows[i].End}
		from, to := row.from, max(row.to+int64(back), rows[i].Reach)-1
		if rows[i].EdgeMoved {
			if n := first(&previous); n != nil {
				from = n.Stats.LastAt
			}
			if n := first(&next); n != nil {
				to = max(to, n.Stats.FirstAt)
			}
		}
		all = append(all, touched{span{from, to}, row})
	}
	return all, nil
}

// inWindows returns the windows of a piece that changes touch, in order and
// without overlap.
func inWindows(p *piece, all []touched) []span {
	spans := make([]span, 0, len(all))
	for i := range all {
		t := &all[i]
		start, end := p.windows.Whole(t.row.from)
		reach := min(widest, farthest/(end-start)) * (end - start)
		start, _ = p.windows.Bounds(max(t.span.from, t.row.from-reach))
		_, end = p.windows.Bounds(min(t.span.to, t.row.to+reach))
		if s := (span{max(start, p.from), min(end, p.until)}); s.from < s.to {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// emptied takes the windows of a span that have no answer: they lie before the
// first reading that is left.
func (e *evaluation) emptied(
	ctx context.Context, p *piece, s span, answered map[int64]bool, take func(*gold.Aggregate) error,
) error {
	var windows []gold.Aggregate
	for t := s.from; t < s.to; {
		g := gold.Aggregate{Completeness: math.NaN(), Peak: math.NaN(), Interpolated: math.NaN()}
		g.Start, g.End = p.windows.Bounds(t)
		if t = g.End; !answered[g.Start] {
			windows = append(windows, g)
		}
	}
	if len(windows) == 0 {
		return nil
	}
	i := 0
	err := e.tx.Rows(ctx, []int64{e.series.ID}, windows[0].Start, windows[len(windows)-1].End,
		func(row *goldstore.StatsRow) error {
			for i < len(windows)-1 && windows[i].End <= row.Start {
				i++
			}
			windows[i].Standing.Append(&row.Standing)
			return nil
		})
	if err != nil {
		return err
	}
	for i := range windows {
		if err := take(&windows[i]); err != nil {
			return err
		}
	}
	return nil
}
