package page

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestWindowSuitsTheRange(t *testing.T) {
	t.Parallel()
	const day, quarter = 24 * time.Hour, 15 * time.Minute
	for _, tt := range []struct {
		span, base time.Duration
		want       string
	}{
		{time.Hour, time.Minute, "1m"},
		{day, time.Minute, "15m"},
		{day, 30 * time.Minute, "30m"}, // none below the base
		{2 * day, quarter, "15m"},
		{7 * day, quarter, "1h"},
		{31 * day, quarter, "day"},
		{365 * day, quarter, "week"},
		{10 * 365 * day, quarter, "month"},
		{200 * 365 * day, quarter, "year"},
	} {
		if got := suited(tt.span, tt.base); got != tt.want {
			t.Errorf("%s over %s is shown per %s, want %s", tt.span, tt.base, got, tt.want)
		}
	}
}

// TestRangeMovesByItsDays moves a week across a change of the clocks.
func TestRangeMovesByItsDays(t *testing.T) {
	t.Parallel()
	asked, err := parse("zone=Europe/Paris&from=2026-03-22&to=2026-03-29")
	if err != nil {
		t.Fatal(err)
	}
	q := &question{asked: asked, from: asked.from, to: asked.to}
	from, to := q.shift(1)
	if asked.text(from) != "2026-03-29" || asked.text(to) != "2026-04-05" || to.Sub(from) != 167*time.Hour {
		t.Errorf("the next week is from %s to %s", from, to)
	}
	q.from, q.to = asked.from.Add(6*time.Hour), asked.from.Add(8*time.Hour)
	if from, to = q.shift(-1); asked.text(from) != "2026-03-22T04:00" || asked.text(to) != "2026-03-22T06:00" {
		t.Errorf("the two hours before are from %s to %s", from, to)
	}
}

// TestTimesInLinksReadAsTheSameTime covers an hour that comes twice.
func TestTimesInLinksReadAsTheSameTime(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC)
	for minutes := range 6 * 60 {
		want := begin.Add(time.Duration(minutes)*time.Minute + time.Duration(minutes%3)*time.Second)
		asked, err := parse("zone=Europe/Paris")
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse("zone=Europe/Paris&from=" + asked.text(want))
		if err != nil || !again.from.Equal(want) {
			t.Errorf("%s is written %s, which reads %s, %v", want, asked.text(want), again.from, err)
		}
	}
}

func TestQueryIsWrittenAsRESTReadsIt(t *testing.T) {
	t.Parallel()
	q := &energyv1.QueryAggregatesRequest{
		Selector: &energyv1.Selector{EntityIds: []string{"a&b"}, Metrics: []string{"voltage"}},
		Start:    timestamppb.New(noon),
		Window:   &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(8784 * time.Hour)}},
	}
	const selection = "selector.entity_ids=a%26b&selector.metrics=voltage&start=2026-03-10T12%3A00%3A00Z&"
	if got, want := parametersOf(q).Encode(), selection+"window.fixed=31622400s"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	q.Window = &energyv1.Window{
		Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_GAS_DAY}, Zone: "Europe/Paris",
	}
	want := selection + "window.calendar=CALENDAR_UNIT_GAS_DAY&window.zone=Europe%2FParis"
	if got := parametersOf(q).Encode(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
