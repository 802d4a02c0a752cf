package apply

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
)

// TestShrinkingIsNoBurden: a single series of many times more versions than a plan is to
// hold is gone through some times for each of them, not for each message.
func TestShrinkingIsNoBurden(t *testing.T) {
	t.Parallel()
	const (
		versions = 100
		messages = 20 * versions
		units    = "units: {V: {dimension: voltage}}\n"
	)
	began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	first, err := catalog.Epochs{}.Append(began, []byte(units+"metrics: {v: {kind: gauge, unit: V}}"))
	if err != nil {
		t.Fatal(err)
	}
	both, err := first.Append(began.Add(time.Hour), []byte(units+"metrics: {v: {kind: gauge, unit: V, max: 100}}"))
	if err != nil {
		t.Fatal(err)
	}
	g := newGathering(&planner{
		application: &application{Deps: Deps{PlanVersions: versions}},
		plan:        &Plan{Epoch: both.Newest()}, epochs: both, inForce: first.Newest(), applied: 1,
	}, 0, bucket{1, 0})
	held, each, work := 0, 0, 0
	for n := range messages {
		at := began.Add(time.Duration(n+1) * time.Second)
		r := reading.Reading{EntityID: "m", Metric: "v", Unit: "V", Time: at.UnixNano(), Value: 1}
		stamp := reading.Stamp{Received: at.UnixNano(), Sequence: uint64(n + 1)}
		var e wire.BronzeEncoder
		e.Add(r, stamp)
		e.Add(r, stamp) // shrinking drops this
		data, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		g.message(&broker.Message{Sequence: uint64(n + 1), Received: at, Data: data})
		switch {
		case n == 0:
			each = g.held
		case g.held != held+each:
			work += held + each
		}
		held = g.held
	}
	most := 10 * messages * each
	if work == 0 || work > most {
		t.Errorf("%d versions are gone through for %d messages of %d, more than %d", work, messages, each, most)
	}
}
