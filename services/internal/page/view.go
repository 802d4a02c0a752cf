package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// overview is what the page shows.
type overview struct {
	shell
	asked  *request
	List   *list
	Plot   *plot // nil when there is no series
	Status *pipeline
}

// Live is the address of the page's events, which are of the series that is
// plotted, whatever comes first in the list by then.
func (o *overview) Live() string {
	if o.Plot == nil {
		return "/live" + o.asked.with()
	}
	return "/live" + o.asked.with("entity", o.Plot.entity, "metric", o.Plot.metric, "unit", o.Plot.unit)
}

// Again is the query of this very page.
func (o *overview) Again() string { return o.asked.with() }

// Zone is that of all times.
func (o *overview) Zone() string { return o.asked.zone.String() }

// option is a choice in the plot's form.
type option struct {
	Value, Label string
	Chosen       bool
}

// link leads to another view.
type link struct {
	Label, Query string
	Chosen       bool
}

// fact is a number of the whole range.
type fact struct{ Name, Value, Unit, Note string }

// plot is a series as it is shown.
type plot struct {
	key
	Entity, Metric, Unit, Kind string
	Zone, Window               string
	Heading                    string
	From, To                   string // as a browser's field takes them
	Search, Show               string
	Windows                    []option
	Ranges, Views              []link
	Earlier, Later             string
	Chart                      *chart
	Facts                      []fact
	Table                      *table
	JSON, Watch                string
}

var kinds = map[energyv1.Kind]string{
	energyv1.Kind_KIND_REGISTER: "register", energyv1.Kind_KIND_INTERVAL: "energy of intervals",
	energyv1.Kind_KIND_GAUGE: "gauge",
}

// EntityName, MetricName and UnitName are the series' names as they are asked for.
func (v *plot) EntityName() string { return v.entity }

// MetricName is the metric's, see EntityName.
func (v *plot) MetricName() string { return v.metric }

// UnitName is the unit's, see EntityName.
func (v *plot) UnitName() string { return v.unit }

// answered makes a view of an answer.
func (q *question) answered(found []*energyv1.Aggregate) *plot {
	points := q.points(found)
	s := q.series.GetSeries()
	v := &plot{
		key: keyOf(s), Entity: clean(s.GetEntityId()), Metric: clean(s.GetMetric()), Unit: clean(s.GetUnit()),
		Kind: kinds[q.series.GetKind()], Zone: q.asked.zone.String(), Window: q.window,
		Heading: q.heading(), Search: q.asked.values.Get("search"), Show: q.asked.values.Get("show"),
		From: q.from.In(q.asked.zone).Format(minuteLayout), To: q.to.In(q.asked.zone).Format(minuteLayout),
		Facts: q.facts(points), Table: q.table(points),
	}
	from, to := q.from, q.to
	if len(points) > 0 { // windows that the ends cut are whole
		from, to = earlier(from, points[0].start), later(to, points[len(points)-1].end)
	}
	v.Chart = draw(points, from.In(q.asked.zone), to.In(q.asked.zone), q.energy, clean(q.unit()))
	v.Chart.Label = fmt.Sprintf("%s of %s, %s, %s", v.Heading, v.Entity, v.Metric, stretch(from, to))
	parameters := parametersOf(q.query)
	v.JSON = "/v1/aggregates?" + parameters.Encode()
	parameters.Del("start")
	parameters.Del("end")
	v.Watch = "/v1/aggregates:watch?" + parameters.Encode()
	q.choices(v)
	return v
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (q *question) heading() string {
	per := strings.ReplaceAll(q.window, "_", " ")
	if q.energy {
		return "Energy per " + per
	}
	return "Mean, min and max per " + per
}

// choices are what can be asked next.
func (q *question) choices(v *plot) {
	base := q.series.GetBaseWindow().AsDuration()
	given := q.asked.values.Get("window")
	v.Windows = []option{{"", "automatic", given == ""}}
	listed := given == ""
	for _, c := range choices {
		if base > 0 && (c.length < base || c.length%base != 0) {
			continue
		}
		listed = listed || c.text == given
		v.Windows = append(v.Windows, option{c.text, strings.ReplaceAll(c.text, "_", " "), c.text == given})
	}
	if !listed {
		v.Windows = append(v.Windows, option{given, given, true})
	}
	for _, r := range []struct {
		label string
		days  int
	}{{"day", 1}, {"week", 7}, {"month", shown}, {"year", 365}} {
		from := q.to.In(q.asked.zone).AddDate(0, 0, -r.days)
		v.Ranges = append(v.Ranges, link{
			Label: r.label, Query: q.stretch(from, q.to), Chosen: from.Equal(q.from),
		})
	}
	v.Earlier, v.Later = q.stretch(q.shift(-1)), q.stretch(q.shift(1))
	if q.series.GetEnergyUnit() != "" && q.series.GetKind() == energyv1.Kind_KIND_GAUGE {
		v.Views = []link{
			{"energy", q.asked.with("show", ""), q.energy}, {"power", q.asked.with("show", showMean), !q.energy},
		}
	}
}

// stretch is the query of a link to another range.
func (q *question) stretch(from, to time.Time) string {
	s := q.series.GetSeries()
	return q.asked.with("entity", s.GetEntityId(), "metric", s.GetMetric(), "unit", s.GetUnit(),
		"from", q.asked.text(from), "to", q.asked.text(to))
}

// shift moves the range by its own length, in days where it is some.
func (q *question) shift(by int) (from, to time.Time) {
	from, to = q.from.In(q.asked.zone), q.to.In(q.asked.zone)
	span := to.Sub(from)
	if days := int(math.Round(span.Hours() / 24)); from.AddDate(0, 0, days).Equal(to) {
		return from.AddDate(0, 0, by*days), to.AddDate(0, 0, by*days)
	}
	return from.Add(time.Duration(by) * span), to.Add(time.Duration(by) * span)
}

// facts sum up the windows that are drawn.
func (q *question) facts(points []point) []fact {
	var received, expected uint64
	var whole ask.Completeness
	t := totals{energy: q.energy, zone: q.asked.zone, power: q.series.GetPowerUnit(), unit: q.unit()}
	for _, p := range points {
		received, expected = received+p.answer.GetReceived(), expected+p.answer.GetExpected()
		whole.Add(p.answer)
		t.add(&p)
	}
	facts := t.facts()
	complete := fact{Name: "Complete", Value: "not known", Note: count(received) + " readings"}
	if expected > 0 {
		complete.Note = count(received) + " of " + count(expected) + " readings"
	}
	if share, ok := whole.Share(); ok {
		complete.Value = percent(share)
	} else {
		complete.Note += "; the distance of readings is not known, or above the window"
	}
	return append(facts, complete)
}

// totals gathers what the windows have together.
type totals struct {
	energy      bool
	zone        *time.Location
	power, unit string

	sum, readings      float64
	windows            int
	peak               float64
	peakAt             time.Time
	low, high          float64
	lowAt, highAt      time.Time
	hasPeak, hasValues bool
}

func (t *totals) add(p *point) {
	a := p.answer
	if a.Peak != nil && (!t.hasPeak || a.GetPeak() > t.peak) {
		t.hasPeak, t.peak, t.peakAt = true, a.GetPeak(), a.GetPeakAt().AsTime()
	}
	if !finite(p.value) {
		return
	}
	t.windows++
	s := a.GetStatistics()
	if t.energy {
		t.sum += p.value
		return
	}
	t.sum, t.readings = t.sum+s.GetSum(), t.readings+float64(s.GetCount())
	if !t.hasValues || p.low < t.low {
		t.low, t.lowAt = p.low, time.Unix(0, s.GetMinAtNs())
	}
	if !t.hasValues || p.high > t.high {
		t.high, t.highAt = p.high, time.Unix(0, s.GetMaxAtNs())
	}
	t.hasValues = true
}

func (t *totals) facts() (facts []fact) {
	at := func(u time.Time) string { return u.In(t.zone).Format("2 Jan 2006 15:04") }
	switch {
	case t.windows == 0:
		return []fact{{Name: "Nothing to draw", Value: "–", Note: "no readings in this range"}}
	case t.energy:
		facts = append(facts, fact{"Total", short(t.sum), t.unit, fmt.Sprintf("in %d windows", t.windows)})
		if t.hasPeak && t.power != "" {
			facts = append(facts, fact{"Peak", short(t.peak), t.power, at(t.peakAt)})
		}
	case t.readings > 0:
		facts = append(facts, fact{"Mean", short(t.sum / t.readings), t.unit, "of all readings"},
			fact{"Min", short(t.low), t.unit, at(t.lowAt)}, fact{"Max", short(t.high), t.unit, at(t.highAt)})
	}
	return facts
}
