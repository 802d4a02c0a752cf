package query

import (
	"cmp"
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
	Bounds(ctx context.Context, series []goldstore.Series) (map[int64]goldstore.Bounds, error)
	Pieces(ctx context.Context, asks []goldstore.Ask) ([]goldstore.Pieces, error)
}

// answer gives the windows of one series that overlap [from, until) to take, in
// time order.
type answer struct {
	series      goldstore.Series
	bounds      goldstore.Bounds
	metric      *catalog.Metric
	windows     gold.Windows
	from, until int64 // Unix ns
	take        func(*gold.Aggregate) error
}

// answers runs answers, of which it holds what they read in memory: as many at once
// as fit, or a part of one.
type answers struct {
	from    store
	history catalog.History
	waiting []answer
	weight  int
	most    int // that is read at once; 0 is maxWeight
}

func (all *answers) limit() int { return cmp.Or(all.most, maxWeight) }

// maxWeight bounds what is read at once, in days of 96 rows: some 100 MB where
// nothing is folded.
const maxWeight = 1000

// weight is how much an answer reads at most.
func (a *answer) weight() int {
	from, to := a.span()
	rows := max(1, int(15*time.Minute/max(a.metric.Window, time.Minute)))
	return (int((to-from+int64(a.series.Reach))/int64(gold.DaySpan)) + 2) * rows
}

// span returns the windows' outer bounds.
func (a *answer) span() (from, to int64) {
	from, _ = a.windows.Bounds(a.from)
	_, to = a.windows.Bounds(a.until - 1)
	return from, to
}

// add runs an answer, or keeps it to be run with others: end runs what is left.
func (all *answers) add(ctx context.Context, a answer) error {
	if a.from >= a.until {
		return nil
	}
	weight := a.weight()
	if all.weight+weight > all.limit() {
		if err := all.end(ctx); err != nil {
			return err
		}
	}
	all.waiting, all.weight = append(all.waiting, a), all.weight+weight
	return nil
}

// end runs the answers that wait.
func (all *answers) end(ctx context.Context) error {
	waiting := all.waiting
	all.waiting, all.weight = all.waiting[:0], 0
	if len(waiting) == 1 && waiting[0].weight() > all.limit() {
		return all.slices(ctx, &waiting[0])
	}
	asks := make([]goldstore.Ask, len(waiting))
	for i := range waiting {
		asks[i] = all.ask(&waiting[i])
	}
	pieces, err := all.from.Pieces(ctx, asks)
	if err != nil {
		return err
	}
	for i := range waiting {
		aggregator := all.aggregator(&waiting[i])
		if err := pieces[i].Feed(aggregator); err != nil {
			return err
		}
		if err := aggregator.Finish(); err != nil {
			return err
		}
	}
	return nil
}

// slices runs one answer in slices of time that begin at midnight, UTC.
func (all *answers) slices(ctx context.Context, a *answer) error {
	aggregator, whole := all.aggregator(a), all.ask(a)
	days := (whole.To - whole.From) / int64(gold.DaySpan)
	length := max(int64(gold.DaySpan)*max(1, days*int64(all.limit())/int64(a.weight())), int64(a.series.Reach))
	for from := whole.From; from < whole.To; {
		ask := whole
		ask.From, ask.To = from, min(whole.To, gold.WindowStart(from+length, gold.DaySpan))
		ask.Continues, ask.Continued = from > whole.From, ask.To < whole.To
		ask.Expect = whole.Expect && !ask.Continues
		pieces, err := all.from.Pieces(ctx, []goldstore.Ask{ask})
		if err != nil {
			return err
		}
		if err := pieces[0].Feed(aggregator); err != nil {
			return err
		}
		from = ask.To
	}
	return aggregator.Finish()
}

func (all *answers) ask(a *answer) goldstore.Ask {
	from, to := a.span()
	return goldstore.Ask{
		Series: a.series, Bounds: a.bounds, Metric: a.metric, History: all.history, Windows: a.windows, From: from, To: to,
		Expect: a.metric.Cadence == 0 && a.metric.Interval() && a.from > a.bounds.FirstAt,
	}
}

func (all *answers) aggregator(a *answer) *gold.Aggregator {
	aggregator := gold.NewAggregator(a.metric, a.windows, a.until, func(g gold.Aggregate) error { return a.take(&g) })
	aggregator.SetHistory(all.history)
	aggregator.Begin(a.from)
	return aggregator
}

// windowsAsked is about how many windows are answered.
func (a *answer) windowsAsked() int64 {
	start, end := a.windows.Whole(a.from)
	return (a.until - start) / (end - start)
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
