package query

import (
	"cmp"
	"context"
	"slices"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// span is a stretch of whole windows, in Unix ns.
type span struct{ from, to int64 }

// answers evaluates the windows of a series that changed rows touch.
func (w *watch) answers(
	ctx context.Context, tx *goldstore.ReadTx, s reading.Series, rows []wire.ChangedRow,
) (answers []*energyv1.WatchAggregatesResponse, err error) {
	all, err := tx.Series(ctx, goldstore.Selector{Entities: []string{s.EntityID}, Metrics: []string{s.Metric}})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(one goldstore.Series) bool { return one.Series == s })
	if i < 0 {
		return nil, nil
	}
	c := w.server.newest()
	metric := c.Metric(s)
	asked := timeRange{windows: w.windows}
	if err := asked.fits(metric, s); err != nil {
		return nil, err
	}
	spans, err := w.spans(ctx, tx, metric, all[i].ID, rows)
	if err != nil {
		return nil, err
	}
	response := func(aggregates []*energyv1.Aggregate) *energyv1.WatchAggregatesResponse {
		return &energyv1.WatchAggregatesResponse{
			Series: wire.SeriesKey(s), Kind: energyv1.Kind(metric.Kind),
			EnergyUnit: metric.EnergyUnit, PowerUnit: metric.PowerUnit, Aggregates: aggregates,
		}
	}
	answered := make(map[int64]bool)
	for _, span := range spans {
		asked.start, asked.end = span.from, span.to
		a := w.server.newAnswer(tx, c, all[i], asked)
		a.send = func(q *energyv1.QueryAggregatesResponse) error {
			for _, one := range q.GetAggregates() {
				answered[one.GetStart().AsTime().UnixNano()] = true
			}
			answers = append(answers, response(q.GetAggregates()))
			return nil
		}
		if err := a.run(ctx); err != nil {
			return nil, err
		}
		empty, err := a.emptied(ctx, span, answered)
		if err != nil {
			return nil, err
		}
		if len(empty) > 0 {
			answers = append(answers, response(empty))
		}
	}
	return answers, nil
}

// widest bounds the windows on either side of a change that a watch delivers for
// it: after a silence of years in small windows the farther ones are left to the
// next query.
const widest = 5000

// spans returns the windows that rows touch, in order and without overlap: their
// own, and those that their readings reach or reached into. Where a row's edge
// moved, what lies between its readings and their neighbours changed too, if the
// metric accounts for that, and the flags of the next reading.
func (w *watch) spans(
	ctx context.Context, tx *goldstore.ReadTx, m *catalog.Metric, id int64, rows []wire.ChangedRow,
) ([]span, error) {
	all := make([]span, 0, len(rows))
	for i := range rows {
		back, linked := gold.LooksBack(m)
		from, to := rows[i].Start, max(rows[i].End+int64(back), rows[i].Reach)-1
		if m.Paired() && rows[i].EdgeMoved {
			err := tx.LastBefore(ctx, id, rows[i].Start, func(r *goldstore.Neighbour) error {
				from = r.Stats.LastAt
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		if (m.Paired() || linked) && rows[i].EdgeMoved {
			err := tx.FirstFrom(ctx, id, rows[i].End, func(r *goldstore.Neighbour) error {
				to = max(to, r.Stats.FirstAt)
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		start, end := w.windows.Bounds(rows[i].Start)
		reach := widest * (end - start)
		start, _ = w.windows.Bounds(max(from, rows[i].Start-reach))
		_, end = w.windows.Bounds(min(to, rows[i].End+reach))
		all = append(all, span{start, end})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := all[:0]
	for _, s := range all {
		if n := len(merged); n > 0 && s.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged, nil
}

// emptied returns the windows of a span that have no answer: they lie before the
// first reading that is left.
func (a *answer) emptied(ctx context.Context, s span, answered map[int64]bool) ([]*energyv1.Aggregate, error) {
	var windows []gold.Aggregate
	for t := s.from; t < s.to; {
		g := gold.Aggregate{}
		g.Start, g.End = a.asked.windows.Bounds(t)
		if t = g.End; !answered[g.Start] {
			windows = append(windows, g)
		}
	}
	if len(windows) == 0 {
		return nil, nil
	}
	i := 0
	err := a.tx.Rows(ctx, []int64{a.series.ID}, windows[0].Start, windows[len(windows)-1].End,
		func(row *goldstore.StatsRow) error {
			for i < len(windows)-1 && windows[i].End <= row.Start {
				i++
			}
			windows[i].Standing.Append(&row.Standing)
			return nil
		})
	if err != nil {
		return nil, err
	}
	empty := make([]*energyv1.Aggregate, len(windows))
	for i := range windows {
		empty[i] = &energyv1.Aggregate{Start: timestamp(windows[i].Start), End: timestamp(windows[i].End)}
		a.finality(&windows[i], empty[i])
	}
	return empty, nil
}
