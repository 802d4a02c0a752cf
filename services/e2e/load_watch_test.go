package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// loadWatch is a watch of a site and the canary of its partition.
type loadWatch struct {
	watcher

	name     string
	rest     bool
	selector *energyv1.Selector
	window   *energyv1.Window
	windows  func(subject int32) []int64
	finished chan float64 // the last canary, behind which the watch has all
	cancel   context.CancelFunc
}

var errWatched = errors.New("the watch has seen all")

// watch begins to watch, before anything is published.
func (l *load) watch() (all []*loadWatch) {
	l.t.Helper()
	c := l.client(-1)
	own := func(subject int32) []int64 {
		return l.plan.calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY, l.plan.series[subject].zone)
	}
	site := &l.plan.series[0]
	selector := &energyv1.Selector{EntityIds: []string{l.plan.series[l.plan.canaries[site.partition]].entity}}
	for _, s := range c.ofSite(site.parent) {
		if one := &l.plan.series[s]; one.kind == 0 {
			selector.EntityIds = append(selector.EntityIds, one.entity)
		}
	}
	day := &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}
	for _, w := range []*loadWatch{
		{name: "watch windows", window: fixedWindow(15 * time.Minute), windows: l.plan.fixed(15 * time.Minute)},
		{name: "watch hours, REST", window: fixedWindow(time.Hour), windows: l.plan.fixed(time.Hour), rest: true},
		{name: "watch own days", window: &energyv1.Window{Span: day, EntityZone: true}, windows: own},
	} {
		w.selector, w.finished = selector, make(chan float64, 1)
		w.seen, w.stands, w.ended = make(map[string]*energyv1.Aggregate), make(chan struct{}), make(chan error, 1)
		var ctx context.Context
		ctx, w.cancel = context.WithCancel(l.t.Context())
		go func() { w.ended <- l.follow(ctx, w) }()
		w.wait(l.t, "to stand", w.stands)
		all = append(all, w)
	}
	return all
}

// fixed returns the edges of windows around all readings.
func (p *loadPlan) fixed(width time.Duration) func(int32) []int64 {
	var edges []int64
	for at := loadStart.Truncate(width); !at.After(p.until.Add(behindAll)); at = at.Add(width) {
		edges = append(edges, at.UnixNano())
	}
	return func(int32) []int64 { return edges }
}

// follow keeps what a watch delivers, until it has the last canary.
func (l *load) follow(ctx context.Context, w *loadWatch) error {
	last, goal := -1.0, -1.0
	each := func(r *energyv1.WatchAggregatesResponse) error {
		if r.GetSeries() == nil {
			select {
			case <-w.stands: // only a newer token
			default:
				close(w.stands)
			}
			return nil
		}
		canary, err := l.delivered(w, r)
		last = max(last, canary)
		select {
		case goal = <-w.finished:
		default:
		}
		// A window that changed before is answered as it is now: only the last canary's
		// own tells that all is delivered. What changed together comes in any order, the token at its end.
		if err == nil && goal >= 0 && last >= goal && r.GetResumeToken() != "" {
			err = errWatched
		}
		return err
	}
	err := l.receive(ctx, w, each)
	if errors.Is(err, errWatched) {
		return nil
	}
	return fmt.Errorf("%s: %w", w.name, err)
}

func (l *load) receive(ctx context.Context, w *loadWatch, each func(*energyv1.WatchAggregatesResponse) error) error {
	if w.rest {
		query := url.Values{
			"selector.entity_ids": w.selector.GetEntityIds(),
			"window.fixed":        {fmt.Sprintf("%ds", w.window.GetFixed().GetSeconds())},
		}
		return gatherREST(ctx, l.p, http.MethodGet, "/v1/aggregates:watch?"+query.Encode(), nil, each)
	}
	stream, err := l.p.query.WatchAggregates(ctx, &energyv1.WatchAggregatesRequest{Selector: w.selector, Window: w.window})
	for err == nil {
		var r *energyv1.WatchAggregatesResponse
		if r, err = stream.Recv(); err == nil {
			err = each(r)
		}
	}
	return err
}

// delivered keeps a response as an answer of its own, and returns the canary in
// it, -1 if there is none.
func (l *load) delivered(w *loadWatch, r *energyv1.WatchAggregatesResponse) (canary float64, _ error) {
	s := r.GetSeries()
	subject, ok := l.names.series[s.GetEntityId()+" "+s.GetMetric()+" "+s.GetUnit()]
	if !ok {
		return 0, fmt.Errorf("%v was not published", s)
	}
	a := loadAnswer{kind: w.name, answered: time.Now().UnixNano()}
	canary = -1
	edges := w.windows(subject)
	for _, one := range r.GetAggregates() {
		f := factOf(subject, true, one)
		if i, ok := slices.BinarySearch(edges, f.from); !ok || i+1 == len(edges) || edges[i+1] != f.to {
			return 0, fmt.Errorf("%v is no window", one)
		}
		key := windowKey(s, one)
		if before := w.seen[key]; before.GetRevision() > one.GetRevision() {
			return 0, fmt.Errorf("%v was delivered after revision %d", one, before.GetRevision())
		}
		w.seen[key] = one
		a.facts = append(a.facts, f)
		if s.GetMetric() == canaryMetric {
			canary = max(canary, f.state.last)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
	return canary, nil
}

// endWatches waits until each watch has seen all, and compares what it delivered
// last with what is answered.
func (l *load) endWatches(all []*loadWatch) {
	l.t.Helper()
	l.p.awaitEmptyOutbox(l.t)
	l.plan.lastCanary = l.canaries
	for _, w := range all {
		w.finished <- float64(l.canaries)
	}
	l.announce(l.t.Context(), l.client(0))
	l.p.await(l.t, "gold to have the last canary", caughtUp)
	for _, w := range all {
		select {
		case err := <-w.ended:
			if err != nil {
				l.t.Error(err)
			}
		case <-time.After(patience):
			l.t.Errorf("waited %s for %s to reach the end", patience, w.name)
			w.cancel()
			<-w.ended
		}
		w.cancel()
		want := make(map[string]*energyv1.Aggregate)
		answers := l.p.aggregates(l.t, &energyv1.QueryAggregatesRequest{Selector: w.selector, Window: w.window})
		for series, aggregates := range answers {
			for _, a := range aggregates {
				if a.GetStatistics() != nil {
					want[fmt.Sprint(series, " ", a.GetStart().AsTime().Unix())] = a
				}
			}
		}
		if len(want) == 0 {
			l.t.Errorf("%s: nothing is answered", w.name)
		}
		w.equals(l.t, want)
	}
}
