package query

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// store is where answers read from: gold as it is, or as it was.
type store interface {
	Bounds(ctx context.Context, ids []int64) (map[int64]goldstore.Bounds, error)
	Rows(ctx context.Context, ids []int64, from, to int64, fn func(*goldstore.StatsRow) error) error
	LastBefore(ctx context.Context, id, t int64, fn func(*goldstore.Neighbour) error) error
	FirstFrom(ctx context.Context, id, t int64, fn func(*goldstore.Neighbour) error) error
	Versions(ctx context.Context, keys []goldstore.RowKey) ([]goldstore.VersionsRow, error)
	Parts(ctx context.Context, span goldstore.Span, fn func(*gold.Stored) error) error
}

// answer gives the windows of one series to take, in time order.
type answer struct {
	from    store
	series  goldstore.Series
	catalog *catalog.Catalog
	metric  *catalog.Metric
	windows gold.Windows
	take    func(*gold.Aggregate) error
}

// run answers the windows that overlap [from, until), where the series has the
// bounds b.
func (a *answer) run(ctx context.Context, from, until int64, b goldstore.Bounds) error {
	if from >= until {
		return nil
	}
	if err := a.bounded(from, until); err != nil {
		return err
	}
	aggregator := gold.NewAggregator(a.metric, a.windows, until, func(g gold.Aggregate) error { return a.take(&g) })
	aggregator.SetHistory(a.catalog.History())
	aggregator.Begin(from)
	return a.fold(ctx, aggregator, from, until, b)
}

// bounded refuses answers of more windows than anybody reads.
func (a *answer) bounded(from, until int64) error {
	start, end := a.windows.Whole(from)
	if n := (until - start) / (end - start); n > maxWindows {
		return invalid("end", "is %d windows of %s after start: at most %d are answered at once, ask in parts",
			n, time.Duration(end-start), maxWindows)
	}
	return nil
}

// answered returns the times whose windows are answered of a series: what was
// asked for, from the first reading on, and to the end of the last one when no
// end was given.
func (r *timeRange) answered(b goldstore.Bounds) (from, until int64) {
	from, until = b.FirstAt, max(b.LastAt+1, b.Reach)
	if r.end != math.MaxInt64 {
		until = r.end
	}
	return max(from, r.start), until
}

// fold feeds what is stored of the answered windows to the aggregator.
func (a *answer) fold(
	ctx context.Context, aggregator *gold.Aggregator, from, until int64, b goldstore.Bounds,
) error {
	if err := a.expect(ctx, aggregator, from, b); err != nil {
		return err
	}
	lowest, _ := a.windows.Bounds(from)
	_, highest := a.windows.Bounds(until - 1)
	if err := a.parts(ctx, aggregator, lowest, highest, b); err != nil {
		return err
	}
	return aggregator.Finish()
}

// parts feeds what is stored of [lowest, highest): days, hours and pieces of base
// rows, or base rows alone where pairs of readings may lie across the edges of
// windows and rows.
func (a *answer) parts(
	ctx context.Context, aggregator *gold.Aggregator, lowest, highest int64, b goldstore.Bounds,
) error {
	if !a.metric.Paired() {
		if err := a.precede(ctx, aggregator, lowest, b); err != nil {
			return err
		}
		return a.from.Parts(ctx, goldstore.Span{
			SeriesID: a.series.ID, Reach: a.series.Reach, Metric: a.metric,
			History: a.catalog.History(), Windows: a.windows,
			From: lowest, To: highest,
		}, aggregator.Add)
	}
	cut, err := a.cutRows(ctx, max(lowest, b.FirstAt), min(highest, b.LastAt+1))
	if err != nil {
		return err
	}
	return a.rows(ctx, lowest, highest, b, func(row *goldstore.Neighbour) error {
		stored := gold.Stored{
			Start: row.Start, Width: row.Width, Summary: gold.Summarize(a.metric, row.Start, row.Width, row.Stats),
			Emptied: row.Emptied,
		}
		stored.Standing, stored.Revision, stored.Changed = row.Standing, row.Revision, row.ChangedAt
		if versions, ok := cut[row.Start]; ok {
			return aggregator.AddCut(&stored, versions)
		}
		return aggregator.Add(&stored)
	})
}

// precede feeds what comes before the first window as far as flags depend on it.
func (a *answer) precede(
	ctx context.Context, aggregator *gold.Aggregator, lowest int64, b goldstore.Bounds,
) error {
	back, needed := gold.LooksBack(a.metric)
	if !needed || lowest <= b.FirstStart {
		return nil
	}
	from := b.FirstStart
	err := a.from.LastBefore(ctx, a.series.ID, lowest-int64(back), func(row *goldstore.Neighbour) error {
		from = row.Start
		return nil
	})
	if err != nil {
		return err
	}
	return a.from.Parts(ctx, goldstore.Span{
		SeriesID: a.series.ID, Reach: a.series.Reach, Metric: a.metric,
		History: a.catalog.History(), Windows: a.windows,
		From: gold.WindowStart(from, gold.HourSpan), To: lowest,
	}, func(p *gold.Stored) error {
		aggregator.Precede(&p.Stats)
		return nil
	})
}

// rows calls feed for the rows of [lowest, highest) and for the nearest rows
// with readings on either side, and those before as far as flags depend on them.
// A row that an edge cuts may hold the neighbour or leave it to the next one.
func (a *answer) rows(
	ctx context.Context, lowest, highest int64, b goldstore.Bounds, feed func(*goldstore.Neighbour) error,
) error {
	back, _ := gold.LooksBack(a.metric)
	lowest = gold.WindowStart(lowest-int64(back), a.metric.Window)
	highest = gold.WindowStart(highest-1, a.metric.Window) + int64(a.metric.Window)
	if lowest > b.FirstStart {
		if err := a.from.LastBefore(ctx, a.series.ID, lowest, feed); err != nil {
			return err
		}
	}
	err := a.from.Rows(ctx, []int64{a.series.ID}, lowest, highest, func(row *goldstore.StatsRow) error {
		return feed(&goldstore.Neighbour{StatsRow: *row})
	})
	if err != nil || highest > b.LastStart {
		return err
	}
	return a.from.FirstFrom(ctx, a.series.ID, highest, feed)
}

// expect tells the aggregator the distance of readings where the catalogue does
// not: that of the series' first row.
func (a *answer) expect(
	ctx context.Context, aggregator *gold.Aggregator, from int64, b goldstore.Bounds,
) error {
	if a.metric.Cadence > 0 || !a.metric.Interval() || from <= b.FirstAt {
		return nil
	}
	return a.from.Rows(ctx, []int64{a.series.ID}, b.FirstStart, b.FirstStart+1, func(row *goldstore.StatsRow) error {
		summary := gold.Summarize(a.metric, row.Start, row.Width, row.Stats)
		aggregator.Expect(&summary)
		return nil
	})
}

// cutRows returns the versions of the rows in [from, until) that lie across a
// window's boundary, by row start.
func (a *answer) cutRows(ctx context.Context, from, until int64) (map[int64][]gold.Version, error) {
	var keys []goldstore.RowKey
	for t := from; t < until; {
		_, end := a.windows.Bounds(t)
		if start := gold.WindowStart(end, a.metric.Window); start != end {
			keys = append(keys, goldstore.RowKey{SeriesID: a.series.ID, Start: start, Width: a.metric.Window})
		}
		t = end
	}
	if first, _ := a.windows.Bounds(from); first != gold.WindowStart(first, a.metric.Window) {
		keys = append(keys, goldstore.RowKey{
			SeriesID: a.series.ID, Start: gold.WindowStart(first, a.metric.Window), Width: a.metric.Window,
		})
	}
	if len(keys) == 0 {
		return nil, nil
	}
	rows, err := a.from.Versions(ctx, keys)
	if err != nil {
		return nil, err
	}
	cut := make(map[int64][]gold.Version, len(rows))
	for _, row := range rows {
		cut[row.Start] = row.Versions
	}
	return cut, nil
}

func aggregateOf(m *catalog.Metric, g *gold.Aggregate) *energyv1.Aggregate {
	out := &energyv1.Aggregate{
		Start: timestamp(g.Start), End: timestamp(g.End),
		Statistics: wire.Statistics(&g.Stats),
		Expected:   g.Expected, Received: g.Stats.Count, Revision: g.Revision,
		EdgeOpen: g.EdgeOpen, Flags: wire.Flags(&g.Stats),
	}
	setShares(m, g, out)
	if mean, ok := g.Stats.Mean(); ok {
		out.Mean = &mean
	}
	if !math.IsNaN(g.Completeness) {
		out.Completeness = &g.Completeness
	}
	if out.Statistics == nil && g.Spanned() {
		out.Statistics = wire.Consumption(&g.Stats)
	}
	if !math.IsNaN(g.Interpolated) {
		out.InterpolatedEnergy = &g.Interpolated
	}
	if !math.IsNaN(g.Peak) {
		out.Peak, out.PeakAt = &g.Peak, timestamp(g.PeakAt)
	}
	if !g.Changed.IsZero() {
		out.LastChange = timestamppb.New(g.Changed)
	}
	return out
}

// setShares sets what of the readings and of the energy is estimated and
// corrected.
func setShares(m *catalog.Metric, g *gold.Aggregate, out *energyv1.Aggregate) {
	s := &g.Stats
	energy := s.Energy
	if m.Kind == catalog.Register {
		energy = s.Advance
	}
	out.EstimatedShare = share(float64(s.EstimatedCount), float64(s.Count))
	out.CorrectedShare = share(float64(s.CorrectedCount), float64(s.Count))
	out.EstimatedEnergyShare = share(s.EstimatedEnergy, energy)
	out.CorrectedEnergyShare = share(s.CorrectedEnergy, energy)
}

// meanPower returns the mean power over a window of that width, nil where the
// metric has no energy or nothing is known.
func meanPower(m *catalog.Metric, g *gold.Aggregate, width int64) *float64 {
	if m.PowerUnit == "" || g.Stats.Count == 0 && !g.Spanned() {
		return nil
	}
	power := g.Stats.Energy
	if m.Kind == catalog.Register {
		power = g.Stats.Advance
	}
	power /= time.Duration(width).Hours()
	return &power
}

// share returns a part of a whole, nil where the whole is nothing or energies of
// both signs make it no share.
func share(part, whole float64) *float64 {
	s := part / whole
	if !(s >= 0 && s <= 1+1e-9) {
		return nil
	}
	s = min(s, 1)
	return &s
}

func timestamp(ns int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(0, ns)) }
