package batch_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

// entries returns the quarantine's states by sequence of READINGS, with the rule.
func (p *platform) entries(t *testing.T) map[uint64]string {
	t.Helper()
	states := make(map[uint64]string)
	err := p.store.Read(t.Context(), func(tx *goldstore.ReadTx) error {
		return tx.Quarantine(t.Context(), goldstore.QuarantineFilter{}, goldstore.QuarantinePage{Limit: 100},
			func(e *goldstore.QuarantineEntry) error {
				states[e.Stamp.Sequence] += fmt.Sprintf("%s %s", e.Rule, e.State)
				return nil
			})
	})
	if err != nil {
		t.Fatal(err)
	}
	return states
}

// decide notes what became of readings that silver refused, as the quarantine is told.
func (p *platform) decide(t *testing.T, rows []goldstore.QuarantineRow, decisions ...goldstore.QuarantineDecision) {
	t.Helper()
	s, err := broker.Stream(t.Context(), p.js, broker.StreamQuarantine)
	if err != nil {
		t.Fatal(err)
	}
	for i := range decisions {
		decisions[i].Stage, decisions[i].Epoch, decisions[i].Person = cleaner.Stage, 1, "somebody"
	}
	at, err := p.store.LoadPosition(t.Context(), aggregator.QuarantineStage, 0)
	if err == nil {
		_, err = p.store.ResetPosition(t.Context(), at, s.Name, s.Created, 0)
	}
	if err == nil {
		err = p.store.ProjectQuarantine(t.Context(), goldstore.PositionMove{
			Stage: aggregator.QuarantineStage, Stream: s.Name, Created: s.Created, To: 1,
		}, rows, decisions)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatARunMakesOfTheQuarantine: entries are added and none is changed; what was
// released counts, as far as BRONZE has the release; another database knows of no decision.
func TestWhatARunMakesOfTheQuarantine(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	var stamps []reading.Stamp
	for n := range 5 {
		value := 2e6 + float64(n) // out of range
		if n == 0 {
			value = 230
		}
		p.publishAll(t, []map[string]any{{
			"entity": series.EntityID, "metric": series.Metric, "unit": series.Unit, "time": at(n), "value": value,
		}})
		m, err := broker.Get(t.Context(), p.js, broker.StreamReadings, uint64(n+1))
		if err != nil {
			t.Fatal(err)
		}
		stamps = append(stamps, reading.Stamp{Received: m.Received.UnixNano(), Sequence: uint64(n + 1)})
	}
	states := func(what string, p *platform, want map[uint64]string) {
		t.Helper()
		if diff := cmp.Diff(want, p.entries(t)); diff != "" {
			t.Errorf("%s, the quarantine has (-want +got):\n%s", what, diff)
		}
	}
	plan := p.config(t, replay.Readings, job.Selection{})
	plan.Plan = true
	ran(t)(batch.Run(t.Context(), plan))
	states("after a plan", p, map[uint64]string{})

	all := map[uint64]string{
		2: "out_of_range open", 3: "out_of_range open", 4: "out_of_range open", 5: "out_of_range open",
	}
	ran(t)(p.run(t, replay.Readings, job.Selection{}))
	states("after a run", p, all)
	p.has(t, 230)

	// An earlier build has failed over the first, which is in gold all the same.
	p.decide(t, []goldstore.QuarantineRow{{
		Stamp: stamps[0], Stage: cleaner.Stage, Rule: reading.Undecodable.String(), Epoch: 1,
	}},
		goldstore.QuarantineDecision{Stamp: stamps[1], Resolution: reading.Discarded},
		goldstore.QuarantineDecision{Stamp: stamps[2], Resolution: reading.Released},
		goldstore.QuarantineDecision{Stamp: stamps[3], Resolution: reading.Accepted},
	)
	p.release(t, 2, stamps[2])
	for range 2 {
		b := ran(t)(p.run(t, replay.Readings, job.Selection{}))
		if diff := cmp.Diff(map[string]uint64{"silver out_of_range": 4}, b.Counts.Refused); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
		states("after a run that repeats", p, map[uint64]string{
			1: "undecodable open", 2: "out_of_range discarded", 3: "out_of_range released", 4: "out_of_range judged_again",
			5: "out_of_range open",
		})
		p.has(t, 230, 2000002)
	}
	second := p.another(t)
	ran(t)(second.run(t, replay.Readings, job.Selection{}))
	states("after a run into another database", second, all)
	second.has(t, 230, 2000002)

	third := p.another(t)
	ran(t)(third.run(t, replay.Bronze, job.Selection{}))
	states("after a run from BRONZE, which has the release alone", third, map[uint64]string{})
	third.has(t, 2000002)
}
