package e2e_test

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// loadKinds are the kinds of questions. Each asks one at random, and returns what
// the answer says and when it is of.
var loadKinds = [...]struct {
	name string
	ask  func(context.Context, *loadClient) (facts []loadFact, knownAt int64, err error)
}{
	{"series", func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
		facts, err := c.list(ctx, c.text(), false)
		return facts, 0, err
	}},
	{"series, REST", func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
		facts, err := c.list(ctx, c.text(), true)
		return facts, 0, err
	}},
	{"latest", func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
		site := c.site()
		facts, err := c.latest(ctx, &energyv1.Selector{Parents: []string{site}}, c.ofSite(site), "")
		return facts, 0, err
	}},
	{"latest, REST", func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
		site := c.site()
		query := url.Values{"selector.parents": {site}}
		facts, err := c.latest(ctx, nil, c.ofSite(site), "/v1/latest?"+query.Encode())
		return facts, 0, err
	}},
	{"windows", asking((*loadClient).quarters)},
	{"windows, REST", asking((*loadClient).quarters, overREST)},
	{"windows, known at", asking((*loadClient).quarters, ofThePast)},
	{"hours", asking((*loadClient).hours)},
	{"hours, known at", asking((*loadClient).hours, ofThePast)},
	{"days in a zone", asking((*loadClient).days)},
	{"days in a zone, REST", asking((*loadClient).days, overREST)},
	{"days in a zone, known at", asking((*loadClient).days, ofThePast)},
	{"days in own zones", asking((*loadClient).ownDays)},
	{"months", asking((*loadClient).months)},
	{"hours of a site", asking((*loadClient).siteHours)},
	{"days of tariffs, known at", asking((*loadClient).tariffDays, ofThePast)},
	{"hours of all, known at", asking((*loadClient).allHours, ofThePast)},
	{"explain", func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
		facts, err := c.explain(ctx, c.meter(), c.hour(), nil)
		return facts, 0, err
	}},
	{"explain, known at", func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
		at := c.settled.pick(c.dice)
		facts, err := c.explain(ctx, c.meter(), c.hour(), timestamppb.New(time.Unix(0, at)))
		return facts, at, err
	}},
}

// behindAll is how long after the readings windows are expected still, as the last
// canary is in them.
const behindAll = 6 * 24 * time.Hour

// asking asks a question for windows, changed.
func asking(
	question func(*loadClient) *windowsQuestion, changes ...func(*loadClient, *windowsQuestion),
) func(context.Context, *loadClient) ([]loadFact, int64, error) {
	return func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
		q := question(c)
		for _, change := range changes {
			change(c, q)
		}
		c.repeats.keep(q)
		return c.answer(ctx, q)
	}
}

// answer asks for windows and returns what is said, and of when.
func (c *loadClient) answer(ctx context.Context, q *windowsQuestion) (facts []loadFact, knownAt int64, _ error) {
	facts, err := c.aggregates(ctx, q)
	if at := q.request.GetKnownAt(); at != nil {
		knownAt = at.AsTime().UnixNano()
	}
	return facts, knownAt, err
}

func overREST(_ *loadClient, q *windowsQuestion) { q.rest = true }

func ofThePast(c *loadClient, q *windowsQuestion) {
	q.request.KnownAt = timestamppb.New(time.Unix(0, c.settled.pick(c.dice)))
}

// meter returns a series of a meter.
func (c *loadClient) meter() int32 {
	return int32(c.dice.IntN(len(c.plan.series) - len(c.plan.canaries)))
}

func (c *loadClient) site() string { return c.plan.series[c.meter()].parent }

func (c *loadClient) ofSite(site string) []int32 {
	return c.plan.pick(func(s *loadSeries) bool { return s.parent == site })
}

// text returns what some names contain.
func (c *loadClient) text() string { return fmt.Sprintf("meter-00%d", c.dice.IntN(10)) }

// hour returns an hour that readings lie in by now.
func (c *loadClient) hour() time.Time {
	hours := time.Duration(c.plan.reached.Load()) * loadCadence / time.Hour
	return loadStart.Add(time.Duration(c.dice.IntN(int(hours)+1)) * time.Hour)
}

// fixed returns a question for windows of a width, a span long, of some meters.
func (c *loadClient) fixed(width, long time.Duration, meters int) *windowsQuestion {
	start := c.hour()
	if long == 0 {
		start, long = loadStart.Add(-24*time.Hour), c.plan.until.Sub(loadStart).Truncate(time.Hour)+behindAll
	}
	selector, subjects := new(energyv1.Selector), make([]int32, 0, meters*len(loadMetrics))
	first := c.dice.IntN(len(c.plan.series)/len(loadMetrics) - meters)
	for i := range meters {
		id := c.plan.series[(first+i)*len(loadMetrics)].entity
		selector.EntityIds = append(selector.EntityIds, id)
		for j := range loadMetrics {
			subjects = append(subjects, int32((first+i)*len(loadMetrics)+j))
		}
	}
	var edges []int64
	for at := start; !at.After(start.Add(long)); at = at.Add(width) {
		edges = append(edges, at.UnixNano())
	}
	return &windowsQuestion{
		request: &energyv1.QueryAggregatesRequest{
			Selector: selector, Start: timestamppb.New(start), End: timestamppb.New(start.Add(long)), Window: fixedWindow(width),
		},
		subjects: subjects,
		windows:  func(int32) []int64 { return edges },
	}
}

func (c *loadClient) quarters() *windowsQuestion { return c.fixed(15*time.Minute, 24*time.Hour, 3) }

func (c *loadClient) hours() *windowsQuestion { return c.fixed(time.Hour, 48*time.Hour, 5) }

// calendar returns a question for the windows of the calendar of a site.
func (c *loadClient) calendar(unit energyv1.CalendarUnit, zone string) *windowsQuestion {
	site := c.site()
	return &windowsQuestion{
		request: &energyv1.QueryAggregatesRequest{
			Selector: &energyv1.Selector{Parents: []string{site}},
			Window:   &energyv1.Window{Span: &energyv1.Window_Calendar{Calendar: unit}, Zone: zone},
		},
		subjects: c.ofSite(site),
		windows:  func(int32) []int64 { return c.plan.calendar(unit, zone) },
	}
}

// calendar returns the edges of calendar windows around all readings, by the
// standard library.
func (p *loadPlan) calendar(unit energyv1.CalendarUnit, zone string) (edges []int64) {
	in, err := time.LoadLocation(zone)
	if err != nil {
		panic(err) // the test's own zones
	}
	first := loadStart.In(in)
	month, day := 0, 1
	at := time.Date(first.Year(), first.Month(), first.Day(), 0, 0, 0, 0, in)
	if unit == energyv1.CalendarUnit_CALENDAR_UNIT_MONTH {
		month, day = 1, 0
		at = time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, in)
	}
	for edges = append(edges, at.UnixNano()); at.Before(p.until.Add(behindAll)); {
		at = time.Date(at.Year(), at.Month()+time.Month(month), at.Day()+day, 0, 0, 0, 0, in)
		edges = append(edges, at.UnixNano())
	}
	return edges
}

func (c *loadClient) days() *windowsQuestion {
	return c.calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY, c.plan.series[c.meter()].zone)
}

func (c *loadClient) months() *windowsQuestion {
	return c.calendar(energyv1.CalendarUnit_CALENDAR_UNIT_MONTH, c.plan.series[c.meter()].zone)
}

// ownDays asks for days of each entity's own zone.
func (c *loadClient) ownDays() *windowsQuestion {
	q := c.calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY, "")
	q.request.Window.EntityZone = true
	q.windows = func(subject int32) []int64 {
		return c.plan.calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY, c.plan.series[subject].zone)
	}
	return q
}

// pooled asks a question by groups of the gauges and intervals.
func (c *loadClient) pooled(q *windowsQuestion, by energyv1.GroupBy, grouping string, keys ...string) *windowsQuestion {
	q.request.GroupBy, q.grouping, q.subjects = by, grouping, nil
	for _, m := range loadMetrics[:loadRegister] {
		q.request.Selector.Metrics = append(q.request.Selector.Metrics, m.name)
		for _, key := range keys {
			q.subjects = append(q.subjects, c.names.groups[grouping+" "+key+" "+m.name+" "+m.unit])
		}
	}
	return q
}

// siteHours asks for a site, all of whose meters are in one partition.
func (c *loadClient) siteHours() *windowsQuestion {
	site := c.site()
	q := c.fixed(time.Hour, 24*time.Hour, 1)
	q.request.Selector = &energyv1.Selector{Parents: []string{site}}
	return c.pooled(q, energyv1.GroupBy_GROUP_BY_PARENT, "parent", site)
}

func (c *loadClient) tariffDays() *windowsQuestion {
	q := c.calendar(energyv1.CalendarUnit_CALENDAR_UNIT_DAY, "Europe/Paris")
	q.request.Selector = new(energyv1.Selector)
	q.request.GroupLabel = "tariff"
	return c.pooled(q, energyv1.GroupBy_GROUP_BY_LABEL, "label", "day", "night")
}

func (c *loadClient) allHours() *windowsQuestion {
	q := c.fixed(time.Hour, 12*time.Hour, 1)
	q.request.Selector = new(energyv1.Selector)
	return c.pooled(q, energyv1.GroupBy_GROUP_BY_ALL, "all", "")
}
