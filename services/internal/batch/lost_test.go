package batch_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

const content = `SELECT c::text FROM gold.content c`

// TestACommitWhoseAnswerIsLost: a run over a connection that breaks when Postgres has
// committed and not said so yet writes what another writes, and its record counts each
// window once (invariant 22).
func TestACommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	const windows = 1700 // of two partitions, some transactions each
	var all []map[string]any
	for _, entity := range []string{"a", "b", "c", "d"} {
		for n := range windows / 4 {
			all = append(all, map[string]any{
				"entity": entity, "metric": "voltage", "unit": "V", "time": at(0).Add(time.Duration(n) * time.Hour), "value": n,
			})
		}
	}
	p.publishAll(t, all)
	want := ran(t)(p.run(t, replay.Readings, job.Selection{}))

	second := p.another(t)
	lossy := pgtest.NewProxy(t, second.url)
	store, err := goldstore.Open(t.Context(), lossy.URL(), goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c := second.config(t, replay.Readings, job.Selection{})
	c.Store = store
	var begun sync.Once
	c.Progress = func(batch.Progress) { begun.Do(func() { lossy.LoseCommits(2) }) }
	got := ran(t)(batch.Run(t.Context(), c))
	lossy.LoseCommits(0)
	if lossy.Lost() < 4 {
		t.Errorf("only %d answers were lost", lossy.Lost())
	}
	same := cmpopts.IgnoreFields(goldstore.BatchRecord{}, "ID", "StartedAt", "FinishedAt", "Timings", "Selection")
	var stored goldstore.BatchRecord
	err = second.store.Read(t.Context(), func(tx *goldstore.ReadTx) (err error) {
		stored, err = tx.Batch(t.Context(), got.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string]goldstore.BatchRecord{"it says": got, "its record is": stored} {
		if diff := cmp.Diff(want, b, same, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if want.Changes.Inserted != windows {
		t.Errorf("%d windows are new", want.Changes.Inserted)
	}
	if diff := cmp.Diff(pgtest.Texts(t, p.url, content), pgtest.Texts(t, second.url, content)); diff != "" {
		t.Errorf("gold (-want +got):\n%s", diff)
	}
}
