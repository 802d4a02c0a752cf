package page

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// The parameters of the page. Forms send empty ones, which are as good as none.
var parameters = []string{
	"entity", "metric", "unit", "window", "zone", "from", "to", "show", "search",
	"after_entity", "after_metric", "after_unit",
}

// What can be shown of a series.
const (
	showEnergy = "energy"
	showMean   = "mean"
)

// request is what a visitor asks for.
type request struct {
	values   url.Values // of parameters, without empty ones
	zone     *time.Location
	from, to time.Time // zero where not given
	now      time.Time
}

// parse reads the parameters. Names are checked by the service.
func parse(query string) (*request, error) {
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, refused(fmt.Sprintf("The address must be well-formed: %.64v.", err))
	}
	r := &request{values: make(url.Values), now: time.Now()}
	for name, values := range given {
		switch {
		case !slices.Contains(parameters, name):
			return nil, refused(fmt.Sprintf("%.64q is no parameter: there are %s.", name, strings.Join(parameters, ", ")))
		case len(values) > 1:
			return nil, refused(fmt.Sprintf("%s takes one value, not %d.", name, len(values)))
		case !utf8.ValidString(values[0]):
			return nil, refused(name + " must be UTF-8.")
		case values[0] != "":
			r.values.Set(name, values[0])
		}
	}
	if show := r.values.Get("show"); show != "" && show != showEnergy && show != showMean {
		return nil, refused(fmt.Sprintf("show must be %s or %s, not %.64q.", showEnergy, showMean, show))
	}
	if r.zone, err = ask.Zone(r.values.Get("zone")); err != nil {
		return nil, refused(fmt.Sprintf("zone %v.", err))
	}
	err = r.parseTimes()
	return r, err
}

func (r *request) parseTimes() error {
	for name, target := range map[string]*time.Time{"from": &r.from, "to": &r.to} {
		text := r.values.Get(name)
		if text == "" {
			continue
		}
		t, err := ask.Time(text, r.zone)
		if err != nil {
			return refused(fmt.Sprintf("%s %v.", name, err))
		}
		*target = t.In(r.zone)
	}
	return nil
}

// with returns the query of a link: the visitor's parameters, but for pairs of
// names and values that differ; an empty value leaves a parameter out.
func (r *request) with(pairs ...string) string {
	values := make(url.Values, len(r.values))
	for name := range r.values {
		values.Set(name, r.values.Get(name))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			values.Del(pairs[i])
		}
	}
	return "?" + values.Encode()
}

// choose returns the query of a link to a series, from the default range on.
func (r *request) choose(s *energyv1.SeriesKey) string {
	return r.with("entity", s.GetEntityId(), "metric", s.GetMetric(), "unit", s.GetUnit(),
		"window", "", "from", "", "to", "", "show", "")
}

// text writes a time as a parameter that reads as the same time.
func (r *request) text(t time.Time) string {
	for _, layout := range []string{time.DateOnly, minuteLayout} {
		s := t.In(r.zone).Format(layout)
		if back, err := time.ParseInLocation(layout, s, r.zone); err == nil && back.Equal(t) {
			return s
		}
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// minuteLayout is what a browser's field for times sends.
const minuteLayout = "2006-01-02T15:04"

// parametersOf writes a query for aggregates as REST's parameters.
func parametersOf(q *energyv1.QueryAggregatesRequest) url.Values {
	values := url.Values{
		"selector.entity_ids": q.GetSelector().GetEntityIds(),
		"selector.metrics":    q.GetSelector().GetMetrics(),
	}
	for name, t := range map[string]*timestamppb.Timestamp{"start": q.GetStart(), "end": q.GetEnd()} {
		if t != nil {
			values.Set(name, t.AsTime().Format(time.RFC3339Nano))
		}
	}
	switch span := q.GetWindow().GetSpan().(type) {
	case *energyv1.Window_Fixed:
		values.Set("window.fixed", strconv.FormatFloat(span.Fixed.AsDuration().Seconds(), 'f', -1, 64)+"s")
	case *energyv1.Window_Calendar:
		values.Set("window.calendar", span.Calendar.String())
		values.Set("window.zone", q.GetWindow().GetZone())
	}
	return values
}
