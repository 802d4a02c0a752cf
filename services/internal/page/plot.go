package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// drawn bounds the windows of one plot: more than a screen has columns.
const drawn = 1500

// question is a query for one series, with what it is drawn by.
type question struct {
	asked    *request
	series   *energyv1.ListSeriesResponse
	query    *energyv1.QueryAggregatesRequest
	window   string // as text
	from, to time.Time
	energy   bool // energies are drawn, not means
}

// question says what is to be plotted, nil when there is no series at all.
func (p *page) question(
	ctx context.Context, asked *request, first *energyv1.ListSeriesResponse,
) (*question, error) {
	series, err := p.chosen(ctx, asked, first)
	if err != nil || series == nil {
		return nil, err
	}
	q := &question{asked: asked, series: series, from: asked.from, to: asked.to}
	q.energy = series.GetEnergyUnit() != "" &&
		(asked.values.Get("show") != showMean || series.GetKind() != energyv1.Kind_KIND_GAUGE)
	if err := p.span(ctx, q); err != nil {
		return nil, err
	}
	if q.window = asked.values.Get("window"); q.window == "" {
		q.window = suited(q.to.Sub(q.from), series.GetBaseWindow().AsDuration())
	}
	window, err := ask.Window(q.window, asked.zone)
	if err != nil {
		return nil, refused(fmt.Sprintf("window %v.", err))
	}
	q.query = &energyv1.QueryAggregatesRequest{
		Selector: selectorOf(series), Window: window, Start: timestamppb.New(q.from), End: timestamppb.New(q.to),
	}
	return q, nil
}

func selectorOf(s *energyv1.ListSeriesResponse) *energyv1.Selector {
	return &energyv1.Selector{
		EntityIds: []string{s.GetSeries().GetEntityId()}, Metrics: []string{s.GetSeries().GetMetric()},
	}
}

// chosen returns the series that was asked for, the first of the list when none
// was.
func (p *page) chosen(
	ctx context.Context, asked *request, first *energyv1.ListSeriesResponse,
) (*energyv1.ListSeriesResponse, error) {
	v := asked.values
	if !v.Has("entity") {
		if v.Has("metric") || v.Has("unit") {
			return nil, refused("metric and unit are of an entity: give entity too.")
		}
		return first, nil
	}
	selector := &energyv1.Selector{EntityIds: []string{v.Get("entity")}}
	if v.Has("metric") {
		selector.Metrics = []string{v.Get("metric")}
	}
	stream, err := p.client.ListSeries(ctx, &energyv1.ListSeriesRequest{Selector: selector})
	series, err := all(stream, err)
	if err != nil {
		return nil, err
	}
	for _, s := range series {
		if !v.Has("unit") || s.GetSeries().GetUnit() == v.Get("unit") {
			return s, nil
		}
	}
	return nil, &problem{http.StatusNotFound, "There is no such series", fmt.Sprintf(
		"Nothing that counts was received for entity %.64q, metric %.64q and unit %.64q.",
		v.Get("entity"), v.Get("metric"), v.Get("unit"))}
}

// shown is how many days are shown when no range is given.
const shown = 31

// span fills the ends that were not given: days up to the latest reading, as
// far as readings reach back.
func (p *page) span(ctx context.Context, q *question) error {
	if q.to.IsZero() {
		latest := q.asked.now
		stream, err := p.client.GetLatest(ctx, &energyv1.GetLatestRequest{Selector: selectorOf(q.series)})
		found, err := all(stream, err)
		if err != nil {
			return err
		}
		for _, one := range found {
			if keyOf(one.GetSeries()) == keyOf(q.series.GetSeries()) {
				latest = one.GetTime().AsTime()
			}
		}
		q.to = midnight(latest.In(q.asked.zone), 1)
	}
	if !q.from.IsZero() {
		return nil
	}
	q.from = midnight(q.to.In(q.asked.zone), -shown)
	window, err := ask.Window("day", q.asked.zone)
	if err != nil {
		return err
	}
	days, err := p.windows(ctx, q.series, &energyv1.QueryAggregatesRequest{
		Selector: selectorOf(q.series), Window: window, Start: timestamppb.New(q.from), End: timestamppb.New(q.to),
	})
	if err == nil && len(days) > 0 {
		if begin := days[0].GetStart().AsTime(); begin.After(q.from) {
			q.from = begin.In(q.asked.zone)
		}
	}
	return err
}

// midnight returns the start of a day so many days after that of t.
func midnight(t time.Time, days int) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, t.Location())
}

// choices are windows in the order of their length.
var choices = []struct {
	text   string
	length time.Duration
}{
	{"1m", time.Minute}, {"5m", 5 * time.Minute}, {"15m", 15 * time.Minute}, {"30m", 30 * time.Minute},
	{"1h", time.Hour}, {"6h", 6 * time.Hour},
	{"day", 24 * time.Hour}, {"gas_day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"month", 31 * 24 * time.Hour},
	{"year", 366 * 24 * time.Hour},
}

// suited returns the shortest window that makes up to 200 of a span.
func suited(span, base time.Duration) string {
	for _, c := range choices {
		if c.length >= base && c.length%base == 0 && c.text != "6h" && span/c.length <= 200 {
			return c.text
		}
	}
	return "year"
}

// windows asks for the windows of one series.
func (p *page) windows(
	ctx context.Context, series *energyv1.ListSeriesResponse, query *energyv1.QueryAggregatesRequest,
) ([]*energyv1.Aggregate, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the answer when it gets too long
	defer cancel()
	stream, err := p.client.QueryAggregates(ctx, query)
	if err != nil {
		return nil, err
	}
	var found []*energyv1.Aggregate
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if keyOf(r.GetSeries()) == keyOf(series.GetSeries()) {
			found = append(found, r.GetAggregates()...)
		}
		if len(found) > drawn {
			return nil, refused(fmt.Sprintf(
				"window is too short for from and to: at most %s windows are drawn. Give a longer window, or a shorter time.",
				count(drawn)))
		}
	}
}

// plot answers what is asked for and renders it, nil when there is no series.
func (p *page) plot(ctx context.Context, asked *request, first *energyv1.ListSeriesResponse) (*plot, error) {
	q, err := p.question(ctx, asked, first)
	if err != nil || q == nil {
		return nil, err
	}
	found, err := p.windows(ctx, q.series, q.query)
	if err != nil {
		return nil, err
	}
	return q.answered(found), nil
}

// points returns what is drawn of windows that have begun.
func (q *question) points(found []*energyv1.Aggregate) []point {
	var points []point
	for _, a := range found {
		if !a.GetStart().AsTime().Before(q.asked.now) {
			break
		}
		pt := point{
			start: a.GetStart().AsTime().In(q.asked.zone), end: a.GetEnd().AsTime().In(q.asked.zone),
			value: math.NaN(), low: math.NaN(), high: math.NaN(), complete: math.NaN(), answer: a,
		}
		if a.Completeness != nil {
			pt.complete = a.GetCompleteness()
		}
		if q.energy {
			if x, ok := ask.Energy(q.series.GetKind(), q.series.GetEnergyUnit(), a); ok {
				pt.value = x
				pt.soft = a.GetInterpolatedEnergy() + a.GetEstimatedEnergyShare()*x
				if a.GetReceived() == 0 {
					pt.soft = x // shared out between readings on either side
				}
			}
		} else if a.Mean != nil {
			pt.value, pt.low, pt.high = a.GetMean(), a.GetStatistics().GetMin(), a.GetStatistics().GetMax()
		}
		points = append(points, pt)
	}
	return points
}

// unit is that of what is drawn.
func (q *question) unit() string {
	if q.energy {
		return q.series.GetEnergyUnit()
	}
	return q.series.GetSeries().GetUnit()
}
