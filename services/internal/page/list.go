package page

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

const (
	// patience bounds what is asked for one page.
	patience = time.Minute
	// listed is how many series a page lists.
	listed = 20
)

// key names a series.
type key struct{ entity, metric, unit string }

func keyOf(s *energyv1.SeriesKey) key { return key{s.GetEntityId(), s.GetMetric(), s.GetUnit()} }

// list is a page of the list of series.
type list struct {
	Search    string
	Items     []item
	Later     string // query of the next page
	FromStart string // query of the first page, on others
	JSON      string
	Keep      [][2]string // parameters that a search keeps
	known     []*energyv1.ListSeriesResponse
}

// item is a series in the list.
type item struct {
	key
	Entity, Metric, Unit string
	Query                string
	Value, At            string // of the latest reading
	Chosen               bool
}

// first returns the first series, nil when there is none.
func (l *list) first() *energyv1.ListSeriesResponse {
	if len(l.known) == 0 {
		return nil
	}
	return l.known[0]
}

// mark marks the series that is plotted.
func (l *list) mark(k key) {
	for i := range l.Items {
		l.Items[i].Chosen = l.Items[i].key == k
	}
}

// list asks for a page of series and for their latest readings.
func (p *page) list(ctx context.Context, asked *request) (*list, error) {
	v := asked.values
	req := &energyv1.ListSeriesRequest{Contains: strings.Fields(v.Get("search")), Limit: listed + 1}
	if v.Has("after_entity") {
		req.After = &energyv1.SeriesKey{
			EntityId: v.Get("after_entity"), Metric: v.Get("after_metric"), Unit: v.Get("after_unit"),
		}
	}
	stream, err := p.client.ListSeries(ctx, req)
	series, err := all(stream, err)
	if err != nil {
		return nil, err
	}
	l := &list{
		Search: v.Get("search"), JSON: "/v1/series?" + url.Values{"contains": req.GetContains()}.Encode(), known: series,
	}
	nowhere := []string{"after_entity", "", "after_metric", "", "after_unit", ""}
	if req.After != nil {
		l.FromStart = asked.with(nowhere...)
	}
	if len(series) > listed {
		l.known = series[:listed]
		last := series[listed-1].GetSeries()
		l.Later = asked.with("after_entity", last.GetEntityId(),
			"after_metric", last.GetMetric(), "after_unit", last.GetUnit())
	}
	for _, name := range []string{"entity", "metric", "unit", "window", "zone", "from", "to", "show"} {
		if v.Has(name) {
			l.Keep = append(l.Keep, [2]string{name, v.Get(name)})
		}
	}
	return l, p.fill(ctx, asked, l)
}

// fill makes items of series, with their latest readings.
func (p *page) fill(ctx context.Context, asked *request, l *list) error {
	selector := &energyv1.Selector{}
	for _, s := range l.known {
		selector.EntityIds = append(selector.EntityIds, s.GetSeries().GetEntityId())
		selector.Metrics = append(selector.Metrics, s.GetSeries().GetMetric())
	}
	latest := make(map[key]*energyv1.GetLatestResponse)
	if len(l.known) > 0 {
		stream, err := p.client.GetLatest(ctx, &energyv1.GetLatestRequest{Selector: selector})
		found, err := all(stream, err)
		if err != nil {
			return err
		}
		for _, one := range found {
			latest[keyOf(one.GetSeries())] = one
		}
	}
	for _, s := range l.known {
		i := item{
			key: keyOf(s.GetSeries()), Query: asked.choose(s.GetSeries()), Entity: clean(s.GetSeries().GetEntityId()),
			Metric: clean(s.GetSeries().GetMetric()), Unit: clean(s.GetSeries().GetUnit()),
		}
		if last := latest[i.key]; last != nil {
			i.Value = exact(last.GetValue())
			i.At = last.GetTime().AsTime().In(asked.zone).Format("2 Jan 2006 15:04")
		}
		l.Items = append(l.Items, i)
	}
	return nil
}

// all reads a stream to its end.
func all[M any](stream grpc.ServerStreamingClient[M], err error) (messages []*M, _ error) {
	for err == nil {
		var m *M
		if m, err = stream.Recv(); err == nil {
			messages = append(messages, m)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return messages, err
}
