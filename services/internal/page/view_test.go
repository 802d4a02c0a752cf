package page

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestABurstDoesNotMakeUpForASilence(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	window := func(received uint64, complete float64) point {
		from, to := at, at.AddDate(0, 0, 1)
		at = to
		return point{start: from, end: to, complete: complete, value: math.NaN(), answer: &energyv1.Aggregate{
			Start: timestamppb.New(from), End: timestamppb.New(to),
			Received: received, Expected: 96, Completeness: &complete,
		}}
	}
	points := []point{window(1000, 0.5), window(0, 0)}
	q := &question{asked: &request{zone: time.UTC}, series: new(energyv1.ListSeriesResponse)}
	facts := q.facts(points)
	want := fact{Name: "Complete", Value: percent(0.25), Note: count(1000) + " of 192 readings"}
	if got := facts[len(facts)-1]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
