package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/broker"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// awaitBronze waits until BRONZE holds messages behind a sequence.
func (p *platform) awaitBronze(t *testing.T, behind uint64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); p.bronzeEnd(t) <= behind; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is published behind %d", behind)
		}
	}
}

func (p *platform) bronzeEnd(t *testing.T) uint64 {
	t.Helper()
	s, err := broker.Stream(t.Context(), p.jetStream(t), broker.StreamBronze)
	if err != nil {
		t.Fatal(err)
	}
	return s.LastSequence
}

// TestReleasesSurviveKills kills, with SIGKILL, the service that releases when the
// readings are in BRONZE and the entries do not show it yet, and those that carry them on;
// what was released is released again by another (invariant 18).
func TestReleasesSurviveKills(t *testing.T) {
	t.Parallel()
	const entities = 40
	publish := func(p *platform) {
		p.apply(t, strict)
		for e := range entities {
			p.volts(t, fmt.Sprintf("m%d", e), 230, 400, 500+float64(e), 231)
		}
		if s := p.await(t, "gold to catch up", caughtUp); s.GetMissing() != 0 {
			t.Fatalf("%d readings are missing", s.GetMissing())
		}
	}
	whole := embedded(t)
	publish(whole)
	whole.quarantineTool(t, "release", "--rule", "out_of_range", "--by", "ann", "--reason", "true", "--yes")
	whole.quiet(t)

	f := separate(t)
	publish(&f.platform)
	release := func(person string) chan int {
		ended := make(chan int, 1)
		go func() {
			_, _, status := f.tryQuarantineTool(t, "release", "--rule", "out_of_range", "--by", person, "--reason", "true", "--yes")
			ended <- status
		}()
		return ended
	}
	f.services["silver-cleaner"].kill(t)
	end := f.bronzeEnd(t)
	first := release("ann")
	f.awaitBronze(t, end)
	f.services["query"].kill(t)
	if status := <-first; status == 0 {
		t.Error("a release whose service was killed went well")
	}
	f.services["query"].start(t)
	f.status(t) // query is there again
	open := f.entries(t, "--state", "open")
	if len(f.entries(t, "--state", "all")) != 2*entities || len(open) == 0 {
		t.Fatalf("%d entries are open: nothing was in between", len(open))
	}

	end = f.bronzeEnd(t)
	second := release("bob")
	f.awaitBronze(t, end)
	f.services["silver-cleaner"].start(t)
	f.services["gold-aggregator"].kill(t)
	f.services["gold-aggregator"].start(t)
	if status := <-second; status != 0 {
		t.Errorf("the second release ended with status %d", status)
	}
	if s := f.await(t, "gold to catch up", caughtUp); s.GetMissing() != 0 {
		t.Errorf("%d readings are missing", s.GetMissing())
	}
	people := make(map[string]int)
	for _, e := range f.entries(t) {
		if e.GetState() != energyv1.QuarantineState_QUARANTINE_STATE_RELEASED {
			t.Errorf("%s is %s", e.GetKey(), e.GetState())
		}
		people[e.GetPerson()]++
	}
	if diff := cmp.Diff(map[string]int{"ann": 2 * entities}, people); diff != "" {
		t.Errorf("who released (-want +got):\n%s", diff)
	}
	sameRows(t, "values", whole.rows(t, "gold.values"), f.rows(t, "gold.values"))

	content := f.rows(t, "gold.content")
	if status := <-release("bob"); status != 0 {
		t.Errorf("the third release ended with status %d", status)
	}
	f.await(t, "gold to catch up", caughtUp)
	sameRows(t, "content", content, f.rows(t, "gold.content"))
	f.healthy(t)
}
