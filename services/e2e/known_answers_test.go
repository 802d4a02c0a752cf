package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/catalog"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// knownMetrics are appended to the built-in catalogue.
const knownMetrics = `
  known_reset: {kind: register, unit: kWh, max_rate: 1000, reset: zero}
  known_dip: {kind: register, unit: kWh, max_rate: 1000, dip_tolerance: 0.2}
  known_rollover: {kind: register, unit: kWh, max_rate: 1000, rollover: 1000000}
  known_offline: {kind: register, unit: kWh, max_rate: 1000, max_gap: 1h}
  known_quarters: {kind: interval, unit: kWh, length: 15m, cadence: 15m}
  known_hourly: {kind: register, unit: kWh, max_rate: 1000, window: 60m}
`

// sample is a reading as a producer sends it, but for entity and metric.
type sample map[string]any

// known is a complaint of the field, with its answer.
type known struct {
	name, metric string
	steps        []knownStep
	window       *energyv1.Window
	start, end   time.Time
}

// knownStep is what is sent, a message each, and the answers that stand then.
type knownStep struct {
	messages [][]sample
	want     []knownWindow
}

// knownWindow is an answer. A window without readings has what pairs of readings
// across it give.
type knownWindow struct {
	Start                string // RFC 3339
	Hours                float64
	Consumption          float64
	Interpolated         float64
	Received, Expected   uint64
	Resets, Exchanges    uint64
	Estimated, Corrected uint64
}

var knownDay = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// every gives values to times that are step apart, from a time on.
func every(from time.Time, step time.Duration, values ...float64) []sample {
	all := make([]sample, len(values))
	for i, v := range values {
		all[i] = sample{"time": from.Add(time.Duration(i) * step).Format(time.RFC3339), "value": v}
	}
	return all
}

// constant gives the same value to all times in [from, to) that are step apart.
func constant(from, to time.Time, step time.Duration, value float64) []sample {
	return every(from, step, slices.Repeat([]float64{value}, int(to.Sub(from)/step))...)
}

// sampleAt is a reading with further fields.
func sampleAt(at time.Time, value float64, more sample) sample {
	s := every(at, 0, value)[0]
	maps.Copy(s, more)
	return s
}

// each sends every reading as a message of its own.
func each(all ...sample) [][]sample {
	messages := make([][]sample, len(all))
	for i := range all {
		messages[i] = all[i : i+1]
	}
	return messages
}

// hourOf is a case whose readings and answer lie in the first hour of knownDay.
func hourOf(name, metric string, messages [][]sample, want knownWindow) known {
	want.Start, want.Hours = knownDay.Format(time.RFC3339), 1
	return known{
		name: name, metric: metric, window: fixedWindow(time.Hour), start: knownDay, end: knownDay.Add(time.Hour),
		steps: []knownStep{{messages: messages, want: []knownWindow{want}}},
	}
}

func registerCases() []known {
	const quarter, ten = 15 * time.Minute, 10 * time.Minute
	register := func(values ...float64) [][]sample { return each(every(knownDay, ten, values...)...) }
	exchange := sampleAt(knownDay.Add(2*ten), 112, sample{"exchange_start": 5})
	edges := known{
		name: "one reading on each edge", metric: "active_energy_import",
		window: fixedWindow(quarter), start: knownDay, end: knownDay.Add(time.Hour),
		steps: []knownStep{{messages: each(every(knownDay, quarter, 100, 101, 103, 106, 110)...)}},
	}
	for i := range 4 {
		edges.steps[0].want = append(edges.steps[0].want, knownWindow{
			Start: knownDay.Add(time.Duration(i) * quarter).Format(time.RFC3339), Hours: 0.25,
			Consumption: float64(i + 1), Received: 1,
		})
	}
	return []known{
		hourOf("a fall to a value other than zero", "active_energy_import", register(10, 20, 15, 40),
			knownWindow{Consumption: 35, Received: 4, Exchanges: 1}),
		hourOf("a reset to zero", "known_reset", register(10, 20, 3, 8),
			knownWindow{Consumption: 18, Received: 4, Resets: 1}),
		hourOf("a dip and its recovery", "known_dip", register(100, 100.5, 100.4, 101),
			knownWindow{Consumption: 1, Received: 4}),
		hourOf("a rollover at 999999.9", "known_rollover", register(999999.5, 999999.9, 0.4, 1.4),
			knownWindow{Consumption: 1.9, Received: 4, Resets: 1}),
		hourOf("an exchange with its record", "active_energy_import",
			each(slices.Concat(every(knownDay, ten, 100, 110), []sample{exchange}, every(knownDay.Add(3*ten), ten, 9))...),
			knownWindow{Consumption: 16, Received: 4, Exchanges: 1}),
		hourOf("an exchange without a record", "active_energy_import", register(100, 110, 5, 9),
			knownWindow{Consumption: 14, Received: 4, Exchanges: 1}),
		hourOf("a jump of a million and back", "active_energy_import", register(10, 11, 1000011, 12, 13),
			knownWindow{Consumption: 2, Received: 5, Exchanges: 2}),
		edges,
		offline(),
	}
}

// offline is a meter that is not heard of for a week. Its next index is shared
// evenly among the days, until what it kept comes in a burst.
func offline() known {
	const days = 7
	c := known{
		name: "a week offline and then a burst", metric: "known_offline",
		window: localDay("UTC"), start: knownDay, end: knownDay.AddDate(0, 0, days),
	}
	first, last := sampleAt(knownDay, 1000, nil), sampleAt(knownDay.AddDate(0, 0, days), 1168, nil)
	var burst []sample
	shared, whole := make([]knownWindow, days), make([]knownWindow, days)
	index := 1000.0
	for d := range days {
		midnight := knownDay.AddDate(0, 0, d)
		// Of the week's 168 kWh day d has 6 + 6 d, in the 24 hours evenly.
		used := float64(6 + 6*d)
		for hour := range 24 {
			burst = append(burst, sampleAt(midnight.Add(time.Duration(hour)*time.Hour), index+used*float64(hour)/24, nil))
		}
		index += used
		day := knownWindow{Start: midnight.Format(time.RFC3339), Hours: 24}
		shared[d], whole[d] = day, day
		shared[d].Consumption, shared[d].Interpolated = 24, 24
		whole[d].Consumption, whole[d].Received = used, 24
	}
	shared[0].Received = 1
	c.steps = []knownStep{{each(first, last), shared}, {[][]sample{burst}, whole}}
	return c
}

func calendarCases(t *testing.T) []known {
	t.Helper()
	paris, kathmandu := zone(t, "Europe/Paris"), zone(t, "Asia/Kathmandu")
	days := known{
		name: "days of 23, 24 and 25 hours", metric: "known_quarters", window: localDay("Europe/Paris"),
		start: time.Date(2026, 3, 1, 0, 0, 0, 0, paris), end: time.Date(2026, 11, 1, 0, 0, 0, 0, paris),
	}
	var sent [][]sample
	var want []knownWindow
	for day := days.start; day.Before(days.end); day = day.AddDate(0, 0, 1) {
		hours := 24
		switch day.Format(time.DateOnly) {
		case "2026-03-29":
			hours = 23
		case "2026-10-25":
			hours = 25
		}
		sent = append(sent, constant(day, day.AddDate(0, 0, 1), 15*time.Minute, 0.25))
		want = append(want, knownWindow{
			Start: day.UTC().Format(time.RFC3339), Hours: float64(hours), Consumption: float64(hours),
			Received: uint64(4 * hours), Expected: uint64(4 * hours),
		})
	}
	days.steps = []knownStep{{sent, want}}
	return []known{days, {
		name: "the two hours from 02:00 in autumn", metric: "known_quarters", window: fixedWindow(time.Hour),
		start: time.Date(2026, 10, 25, 1, 0, 0, 0, paris), end: time.Date(2026, 10, 25, 4, 0, 0, 0, paris),
		steps: []knownStep{{
			messages: [][]sample{
				{{"time": "2026-10-25T01:30:00+02:00", "value": 1}},
				{{"time": "2026-10-25T02:30:00+02:00", "value": 2}, {"time": "2026-10-25T02:30:00+01:00", "value": 4}},
				{{"time": "2026-10-25T03:30:00+01:00", "value": 8}},
			},
			want: hours("2026-10-24T23:00:00Z", 1, 2, 4, 8),
		}},
	}, {
		name: "the hour that spring lacks", metric: "known_quarters", window: fixedWindow(time.Hour),
		start: time.Date(2026, 3, 29, 1, 0, 0, 0, paris), end: time.Date(2026, 3, 29, 4, 0, 0, 0, paris),
		steps: []knownStep{{
			messages: [][]sample{{
				{"time": "2026-03-29T01:30:00+01:00", "value": 1}, {"time": "2026-03-29T03:30:00+02:00", "value": 2},
			}},
			want: hours("2026-03-29T00:00:00Z", 1, 2),
		}},
	}, nepal(kathmandu)}
}

// hours are answers of full hours with a quarter hour's reading in each.
func hours(from string, consumptions ...float64) []knownWindow {
	start, _ := time.Parse(time.RFC3339, from) // a constant
	want := make([]knownWindow, len(consumptions))
	for i, consumption := range consumptions {
		want[i] = knownWindow{
			Start: start.Add(time.Duration(i) * time.Hour).Format(time.RFC3339), Hours: 1,
			Consumption: consumption, Received: 1, Expected: 4,
		}
	}
	return want
}

// nepal has days that begin within an hour of UTC, where base windows of an hour
// are cut. Consumption differs on either side of the cut.
func nepal(zone *time.Location) known {
	c := known{
		name: "+05:45 with a base window of an hour", metric: "known_hourly", window: localDay("Asia/Kathmandu"),
		start: time.Date(2026, 6, 1, 0, 0, 0, 0, zone), end: time.Date(2026, 6, 4, 0, 0, 0, 0, zone),
	}
	var sent []sample
	index := 0.0
	for quarter := range 3*96 + 1 {
		at := c.start.Add(time.Duration(quarter) * 15 * time.Minute)
		sent = append(sent, sampleAt(at, index, nil))
		index += float64(at.In(zone).Day()) // 1 kWh a quarter hour on the first day, 2 on the second
	}
	step := knownStep{messages: [][]sample{sent}}
	for d := range 3 {
		step.want = append(step.want, knownWindow{
			Start: c.start.AddDate(0, 0, d).UTC().Format(time.RFC3339), Hours: 24,
			Consumption: float64(96 * (d + 1)), Received: 96,
		})
	}
	c.steps = []knownStep{step}
	return c
}

func correctionCases() []known {
	at := knownDay.Add(30 * time.Minute)
	quality := func(name string, value float64) sample { return sampleAt(at, value, sample{"quality": name}) }
	revision := func(n int, value float64) sample { return sampleAt(at, value, sample{"revision": n}) }
	const quarters = "known_quarters"
	month := known{
		name: "a month of readings that come late", metric: quarters, window: localDay("UTC"),
		start: knownDay, end: knownDay.AddDate(0, 1, 0),
	}
	step := knownStep{messages: [][]sample{constant(month.end, month.end.Add(time.Hour), 15*time.Minute, 1)}}
	for day := month.end.AddDate(0, 0, -1); !day.Before(month.start); day = day.AddDate(0, 0, -1) {
		n := float64(day.Day())
		step.messages = append(step.messages, constant(day, day.AddDate(0, 0, 1), 15*time.Minute, n))
		step.want = append(step.want, knownWindow{
			Start: day.Format(time.RFC3339), Hours: 24, Consumption: 96 * n, Received: 96, Expected: 96,
		})
	}
	slices.Reverse(step.want)
	month.steps = []knownStep{step}
	return []known{
		month,
		hourOf("an estimate before its actual", quarters, each(quality("estimated", 5), quality("actual", 3)),
			knownWindow{Consumption: 3, Received: 1, Expected: 4}),
		hourOf("an estimate after its actual", quarters, each(quality("actual", 3), quality("estimated", 5)),
			knownWindow{Consumption: 3, Received: 1, Expected: 4}),
		hourOf("an estimate alone", quarters, each(quality("estimated", 5)),
			knownWindow{Consumption: 5, Received: 1, Expected: 4, Estimated: 1}),
		hourOf("a correction before what it corrects", quarters, each(quality("corrected", 4), quality("actual", 3)),
			knownWindow{Consumption: 4, Received: 1, Expected: 4, Corrected: 1}),
		hourOf("a withdrawal", quarters,
			[][]sample{every(knownDay, 15*time.Minute, 1, 2, 3), {quality("withdrawn", 0)}},
			knownWindow{Consumption: 3, Received: 2, Expected: 4}),
		hourOf("A, B, A with revisions", quarters, each(revision(0, 3), revision(1, 5), revision(2, 3)),
			knownWindow{Consumption: 3, Received: 1, Expected: 4}),
		hourOf("A, B, A without revisions", quarters, each(revision(0, 3), revision(0, 5), revision(0, 3)),
			knownWindow{Consumption: 5, Received: 1, Expected: 4}),
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// TestKnownAnswers publishes, for each thing that meters and those who read them
// do to their users, readings whose answer anyone can compute.
func TestKnownAnswers(t *testing.T) { //nolint:tparallel // steps follow each other
	t.Parallel()
	builtIn, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	p := embedded(t)
	p.apply(t, builtIn.Document()+knownMetrics)
	cases := slices.Concat(registerCases(), calendarCases(t), correctionCases())
	for step := range 2 {
		p.sendKnown(t, cases, step)
		p.await(t, "gold to catch up", caughtUp)
		t.Run(fmt.Sprint("step ", step+1), func(t *testing.T) {
			for _, c := range cases {
				if step < len(c.steps) {
					t.Run(c.name, func(t *testing.T) {
						t.Parallel()
						if diff := cmp.Diff(c.steps[step].want, p.askKnown(t, &c), nearly); diff != "" {
							t.Errorf("(-known +answered):\n%s", diff)
						}
					})
				}
			}
		})
	}
}

// nearly compares decimal fractions that are sums of binary ones.
var nearly = cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })

// sendKnown sends the messages of a step in their order.
func (p *platform) sendKnown(t *testing.T, cases []known, step int) {
	t.Helper()
	js := p.jetStream(t)
	for _, c := range cases {
		if step >= len(c.steps) {
			continue
		}
		for _, message := range c.steps[step].messages {
			for i, s := range message {
				message[i] = maps.Clone(s)
				message[i]["entity_id"], message[i]["metric"] = c.name, c.metric
			}
			payload, err := json.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(t.Context(), "readings.known", payload); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (p *platform) askKnown(t *testing.T, c *known) (all []knownWindow) {
	t.Helper()
	answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Selector: &energyv1.Selector{EntityIds: []string{c.name}},
		Start:    timestamppb.New(c.start), End: timestamppb.New(c.end), Window: c.window,
	})
	for _, a := range answers[c.name+" "+c.metric] {
		s := a.GetStatistics()
		all = append(all, knownWindow{
			Start:       a.GetStart().AsTime().Format(time.RFC3339),
			Hours:       a.GetEnd().AsTime().Sub(a.GetStart().AsTime()).Hours(),
			Consumption: s.GetAdvance() + s.GetEnergy(), Interpolated: a.GetInterpolatedEnergy(),
			Received: a.GetReceived(), Expected: a.GetExpected(), Resets: s.GetResets(), Exchanges: s.GetExchanges(),
			Estimated: s.GetEstimatedCount(), Corrected: s.GetCorrectedCount(),
		})
	}
	return all
}
