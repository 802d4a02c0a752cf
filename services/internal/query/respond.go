package query

import (
	"cmp"
	"context"
	"slices"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// chunk is the number of windows in one response message.
const chunk = 500

// responder answers a question, series by series or in groups.
type responder struct {
	question
	from     store
	catalog  *catalog.Catalog
	registry entity.Registry
	now      int64 // the clock of what is final, Unix ns
	send     func(*energyv1.QueryAggregatesResponse) error

	most    int // see answers
	answers answers
	out     *filler // of the series that is being answered
}

// answer answers the question about some series.
func (r *responder) answer(ctx context.Context, series []goldstore.Series) error {
	for _, one := range series {
		if err := r.fits(r.catalog.Metric(one.Series), one.Series); err != nil {
			return err
		}
	}
	bounds, err := r.from.Bounds(ctx, series)
	if err != nil {
		return err
	}
	r.answers = answers{from: r.from, history: r.catalog.History(), most: r.most}
	if r.grouped() {
		return r.groups(ctx, series, bounds)
	}
	for _, one := range series {
		b, ok := bounds[one.ID]
		if !ok {
			continue
		}
		m := r.catalog.Metric(one.Series)
		out := r.stream(m, &energyv1.QueryAggregatesResponse{Series: wire.SeriesKey(one.Series)})
		_, until := r.answered(b)
		err := r.one(ctx, one, b, until, func(p *piece, g *gold.Aggregate) error {
			if r.out != out {
				if err := r.next(out); err != nil {
					return err
				}
			}
			a := r.aggregate(m, g)
			a.Date = p.windows.Date(g.Start)
			return out.add(a)
		})
		if err != nil {
			return err
		}
	}
	if err := r.answers.end(ctx); err != nil {
		return err
	}
	return r.next(nil)
}

// next ends the series that is being answered and begins another.
func (r *responder) next(out *filler) error {
	if r.out != nil {
		if err := r.out.end(); err != nil {
			return err
		}
	}
	r.out = out
	return nil
}

// one answers the windows of one series, which has the bounds b, up to until,
// piece by piece.
func (r *responder) one(
	ctx context.Context, series goldstore.Series, b goldstore.Bounds, until int64,
	take func(*piece, *gold.Aggregate) error,
) error {
	from, _ := r.answered(b)
	m := r.catalog.Metric(series.Series)
	pieces, err := r.pieces(r.registry[series.EntityID], series.EntityID, m.Window)
	if err != nil {
		return err
	}
	asked := int64(0)
	for i := range pieces {
		p := &pieces[i]
		a := answer{
			series: series, bounds: b, metric: m, windows: p.windows, from: max(from, p.from), until: min(until, p.until),
			take: func(g *gold.Aggregate) error { return take(p, g) },
		}
		if a.from >= a.until {
			continue
		}
		if asked += a.windowsAsked(); asked > maxWindows {
			return invalid("end", "is more than %d windows after start, as many as are answered at once: ask in parts",
				maxWindows)
		}
		if err := r.answers.add(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// aggregate returns the answer of one series for a window.
func (r *responder) aggregate(m *catalog.Metric, g *gold.Aggregate) *energyv1.Aggregate {
	out := aggregateOf(m, g)
	out.MeanPower = meanPower(m, g, g.End-g.Start)
	setFinality(m, g, r.now, out)
	return out
}

// maxPooled bounds the windows of all groups, which are in memory at once.
const maxPooled = 1_000_000

// groupKey names a group, windowKey a window of it: by its start or, where each
// entity keeps its own zone, by its local date.
type (
	groupKey  struct{ metric, unit, key string }
	windowKey struct {
		start int64
		date  string
	}
)

// pooled is a window of a group.
type pooled struct {
	*gold.Pool
	power float64 // mean power of the members together
}

// groups answers the question by groups of series.
func (r *responder) groups(ctx context.Context, series []goldstore.Series, bounds map[int64]goldstore.Bounds) error {
	type kind struct{ metric, unit string }
	until := make(map[kind]int64) // that of the last series to end
	for _, one := range series {
		if b, ok := bounds[one.ID]; ok {
			_, end := r.answered(b)
			until[kind{one.Metric, one.Unit}] = max(until[kind{one.Metric, one.Unit}], end)
		}
	}
	groups := make(map[groupKey]map[windowKey]*pooled)
	count := 0
	for _, one := range series {
		m := r.catalog.Metric(one.Series)
		b, ok := bounds[one.ID]
		if !ok {
			continue
		}
		err := r.one(ctx, one, b, until[kind{one.Metric, one.Unit}], func(p *piece, g *gold.Aggregate) error {
			start, end := p.windows.Whole(g.Start)
			group, window := groupKey{one.Metric, one.Unit, p.group}, windowKey{start, p.windows.Date(start)}
			if r.calendar != gold.NoCalendar {
				window.start = 0
			}
			if groups[group] == nil {
				groups[group] = make(map[windowKey]*pooled)
			}
			w := groups[group][window]
			if w == nil {
				if count++; count > maxPooled {
					return invalid("group_by", "makes more than %d windows of groups: ask in parts, or for wider windows", maxPooled)
				}
				w = &pooled{Pool: gold.NewPool(start, end)}
				groups[group][window] = w
			}
			w.Start, w.End = min(w.Start, start), max(w.End, end)
			w.Add(m, one.ID, g, r.now)
			if power := meanPower(m, g, end-start); power != nil {
				w.power += *power
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := r.answers.end(ctx); err != nil {
		return err
	}
	return r.sendGroups(groups)
}

func (r *responder) sendGroups(groups map[groupKey]map[windowKey]*pooled) error {
	byGroup := func(a, b groupKey) int {
		return cmp.Or(cmp.Compare(a.metric, b.metric), cmp.Compare(a.unit, b.unit), cmp.Compare(a.key, b.key))
	}
	byWindow := func(a, b windowKey) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.date, b.date)) }
	for _, key := range sortedKeys(groups, byGroup) {
		m := r.catalog.Metric(reading.Series{Metric: key.metric, Unit: key.unit})
		out := r.stream(m, &energyv1.QueryAggregatesResponse{
			Group: &energyv1.Group{Key: key.key, Metric: key.metric, Unit: key.unit},
		})
		for _, window := range sortedKeys(groups[key], byWindow) {
			w := groups[key][window]
			a := aggregateOf(m, &w.Aggregate)
			a.Date, a.Members, a.Contributing = window.date, w.Members, w.Contributing
			a.Finality, a.ClosesAt = energyv1.Finality(w.Finality), timestamp(w.ClosesAt)
			if m.PowerUnit != "" && w.Contributing > 0 {
				a.MeanPower = &w.power
			}
			if err := out.add(a); err != nil {
				return err
			}
		}
		if err := out.end(); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

// stream returns where the aggregates of a series or group go, whose messages
// are like head.
func (r *responder) stream(m *catalog.Metric, head *energyv1.QueryAggregatesResponse) *filler {
	head.Kind, head.EnergyUnit, head.PowerUnit = energyv1.Kind(m.Kind), m.EnergyUnit, m.PowerUnit
	var pending []*energyv1.Aggregate
	flush := func() error {
		if len(pending) == 0 {
			return nil
		}
		message := &energyv1.QueryAggregatesResponse{
			Series: head.GetSeries(), Group: head.GetGroup(), Kind: head.GetKind(),
			EnergyUnit: head.GetEnergyUnit(), PowerUnit: head.GetPowerUnit(), Aggregates: pending,
		}
		pending = nil // the message has them
		return r.send(message)
	}
	return &filler{
		fill: r.fill,
		emit: func(a *energyv1.Aggregate) error {
			pending = append(pending, a)
			if len(pending) < chunk {
				return nil
			}
			return flush()
		},
		flush: flush,
	}
}
