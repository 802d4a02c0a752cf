package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// batch runs a batch by the tool, which must succeed, and returns what it wrote.
func (p *platform) batch(t *testing.T, url string, args ...string) string {
	t.Helper()
	status, out := p.tool(url, append([]string{"run-batch"}, args...)...)
	if status != 0 {
		t.Fatalf("energy run-batch %s ends with %d:\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

var totals = regexp.MustCompile(`(?s)windows +(\d+) (?:would be )?new, (\d+) (?:would be )?changed, (\d+) unchanged\n` +
	`versions +(\d+) (?:would be )?added, (\d+) (?:would be )?removed`)

// jsonPlan is what a run prints with --format json.
type jsonPlan struct {
	changes []map[string]any
	batch   map[string]any
}

func planOf(t *testing.T, out string) (p jsonPlan) {
	t.Helper()
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue // of the progress
		}
		var found map[string]map[string]any
		if err := json.Unmarshal([]byte(line), &found); err != nil || len(found) != 1 || p.batch != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if c, ok := found["change"]; ok {
			p.changes = append(p.changes, c)
		}
		p.batch = found["batch"]
	}
	return p
}

// changed returns the windows that a run has changed or would change, and the versions
// added and removed, as it says.
func changed(t *testing.T, out string) (windows, added, removed int) {
	t.Helper()
	m := totals.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the run does not say what it changed:\n%s", out)
	}
	number := func(text string) (n int) {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return number(m[1]) + number(m[2]), number(m[4]), number(m[5])
}

// unchanging fails the test if a run changes anything.
func (p *platform) unchanging(t *testing.T, url string, args ...string) {
	t.Helper()
	if windows, added, removed := changed(t, p.batch(t, url, args...)); windows+added+removed != 0 {
		t.Errorf("run-batch %v changes %d windows, adds %d versions and removes %d", args, windows, added, removed)
	}
}

// on returns the platform with another database.
func (p *platform) on(url string) *platform {
	other := *p
	other.databaseURL = url
	return &other
}

// TestRunBatch: a replay ends in the bytes of the live platform, whatever it is made
// of, and changes nothing where these are (invariants 3, 21 and 22).
func TestRunBatch(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.someFleet(t)
	p.await(t, "gold to have the fleet", caughtUp)
	live := p.rows(t, "gold.content")

	t.Run("FillsAnotherDatabase", func(t *testing.T) {
		t.Parallel()
		for _, layer := range []string{"readings", "bronze", "silver"} {
			second := database(t)
			plan := p.batch(t, second, "--layer", layer, "--plan")
			out := p.batch(t, second, "--layer", layer)
			windows, added, _ := changed(t, out)
			if planned, versions, _ := changed(t, plan); planned != windows || versions != added || windows == 0 ||
				strings.Count(plan, "\nnew ") < windows-1 {
				t.Errorf("%s: planned\n%s\ndone\n%s", layer, plan, out)
			}
			sameRows(t, layer, live, p.on(second).rows(t, "gold.content"))
			p.unchanging(t, second, "--layer", layer)
			if layer == "readings" {
				if out := p.verified(t, second, layer); strings.Contains(out, "only what it does hold") {
					t.Errorf("verify checks nothing:\n%s", out)
				}
			}
		}
	})
	t.Run("PlansAsJSON", func(t *testing.T) {
		t.Parallel()
		second := database(t)
		p.batch(t, second, "--last-sequence", "40")
		planned := planOf(t, p.batch(t, second, "--plan", "--format", "json"))
		status, out := p.tool(second, "run-batch", "--format", "json")
		if done := planOf(t, out); status != 0 || len(done.changes) > 0 || done.batch["kind"] != "merge" {
			t.Errorf("the run ends with %d:\n%s", status, out)
		} else if diff := cmp.Diff(done.batch["windows_new"], planned.batch["windows_new"]); diff != "" {
			t.Errorf("windows are new (-done +planned):\n%s", diff)
		}
		news := 0
		for _, c := range planned.changes {
			if c["before"] == nil {
				news++
			}
			if after, ok := c["after"].(map[string]any); !ok || after["readings"] == nil || after["sum"] == nil ||
				c["entity_id"] == "" || c["start"] == "" || c["width"] == nil {
				t.Errorf("a change is %v", c)
			}
		}
		b := planned.batch
		if b["kind"] != "plan" || b["state"] != "done" || b["windows_new"] != float64(news) || news == 0 || news == len(planned.changes) ||
			b["windows_changed"] != float64(len(planned.changes)-news) {
			t.Errorf("%d changes, %d of them new, and the plan says %v", len(planned.changes), news, b)
		}
		if status, out := p.tool(second, "run-batch", "--format", "xml"); status != 2 ||
			!strings.Contains(out, "give text or json") {
			t.Errorf("--format xml ends with %d:\n%s", status, out)
		}
	})
	t.Run("OfSubsetsThatOverlap", func(t *testing.T) {
		t.Parallel()
		second := database(t)
		subsets := [][]string{
			{"--metric", "active_energy"}, {"--from", "2025-03-02", "--to", "2025-03-05"}, {"--last-sequence", "40"},
			{"--first-sequence", "30"},
		}
		for _, subset := range subsets {
			if windows, _, _ := changed(t, p.batch(t, second, subset...)); windows == 0 {
				t.Errorf("%v selects nothing that is new", subset)
			}
			p.unchanging(t, second, subset...)
		}
		for _, subset := range subsets {
			p.unchanging(t, second, subset...)
		}
		sameRows(t, "all subsets", live, p.on(second).rows(t, "gold.content"))
	})
	t.Run("GoesOnWhereItWasKilled", func(t *testing.T) {
		t.Parallel()
		killedBatch(t, p, live)
	})
	t.Run("IsRecorded", func(t *testing.T) {
		t.Parallel()
		p.unchanging(t, p.databaseURL, "--last-sequence", "10")
		r, err := p.query.ListBatches(t.Context(), &energyv1.ListBatchesRequest{})
		if err != nil || len(r.GetBatches()) == 0 {
			t.Fatalf("batches are %v: %v", r, err)
		}
		b := r.GetBatches()[0]
		if b.GetKind() != energyv1.BatchKind_BATCH_KIND_MERGE || b.GetState() != energyv1.BatchState_BATCH_STATE_DONE ||
			b.GetSelection().GetLastSequence() != 10 || b.GetMessages()[0].GetMessages() != 10 || b.GetReadings() == 0 ||
			b.GetWindowsUnchanged() == 0 || b.GetCodeVersion() == "" || b.GetFinishedAt() == nil || len(b.GetSteps()) != 2 {
			t.Errorf("the record is %v", b)
		}
		code, body := p.rest(t, "GET", "/v1/batch?id="+b.GetId(), "")
		if code != 200 || !strings.Contains(body, b.GetId()) {
			t.Errorf("over REST: %d %s", code, body)
		}
		status, out := p.tool(p.databaseURL, "batches", "--server", p.grpc)
		if status != 0 || !strings.Contains(out, b.GetId()+"  merge  done") {
			t.Errorf("energy batches: %d\n%s", status, out)
		}
	})
}

// killedBatch kills a run while it writes, by SIGKILL on its process, and resumes it.
func killedBatch(t *testing.T, p *platform, live []string) {
	t.Helper()
	second := database(t)
	// A partition that cannot be written makes the run stop in the middle.
	conn, err := pgx.Connect(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_lock($1, 1)", 0x676f6c64); err != nil {
		t.Fatal(err)
	}
	run := &process{
		name: "energy", args: []string{"run-batch"},
		environment: []string{"ENERGY_NATS_URL=" + p.natsURL, "DATABASE_URL=" + second},
	}
	run.start(t)
	var id string
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := conn.QueryRow(t.Context(), `SELECT batch FROM gold.batch_parts
			WHERE partition = 0 AND (tally ->> 'inserted')::int >= 500`).Scan(&id)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the run writes nothing: %v", err)
		}
	}
	run.kill(t)
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_unlock($1, 1)", 0x676f6c64); err != nil {
		t.Fatal(err)
	}
	if status, out := p.tool(second, "verify"); status != 0 || !strings.Contains(out, "only what it does hold") {
		t.Errorf("verify of half a batch ends with %d:\n%s", status, out)
	}
	out := p.batch(t, second, "--resume", id)
	sameRows(t, "resumed", live, p.on(second).rows(t, "gold.content"))
	windows, _, _ := changed(t, out)
	whole, _, _ := changed(t, p.batch(t, database(t)))
	if windows != whole {
		t.Errorf("the record of the killed run has %d changes, that of another %d", windows, whole)
	}
	if status, out := p.tool(second, "run-batch", "--resume", id); status != 1 || !strings.Contains(out, "the batch is done") {
		t.Errorf("resumed when it is done: %d\n%s", status, out)
	}
}

// TestRunBatchBesideTraffic: a replay of what the platform has disturbs nothing while
// readings come in and a catalogue is applied (invariant 21).
func TestRunBatchBesideTraffic(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	js := p.jetStream(t)
	p.apply(t, site)
	publishReadings(t, js, siteReadings(siteStart, 6))
	p.await(t, "gold to catch up", caughtUp)
	end := readingsEnd(t, js)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for hour := 1; ; hour = hour%40 + 1 { // what was sent before comes again
			publishReadings(t, js, siteReadings(siteStart.Add(time.Duration(hour)*time.Hour), 6))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	for _, subset := range [][]string{
		{"--last-sequence", end}, {"--last-sequence", end}, {"--last-sequence", end, "--metric", "site_power"},
		{"--last-sequence", end, "--rebuild"},
	} {
		p.unchanging(t, p.databaseURL, subset...)
	}
	p.batch(t, p.databaseURL) // whatever has come so far, before or after the services
	p.apply(t, mended)
	p.batch(t, p.databaseURL, "--rebuild")
	close(stop)
	<-stopped
	p.await(t, "gold to catch up", caughtUp)
	for _, layer := range []string{"readings", "bronze", "silver"} {
		p.verified(t, p.databaseURL, layer)
	}
	second := database(t)
	p.batch(t, second)
	sameRows(t, "another database", p.rows(t, "gold.content"), p.on(second).rows(t, "gold.content"))
	if n := execSQL(t, p.databaseURL, "DELETE FROM gold.outbox"); n != 0 {
		t.Errorf("%d feed messages were not published", n)
	}
}

func readingsEnd(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	s, err := broker.Stream(t.Context(), js, broker.StreamReadings)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(s.LastSequence)
}

// TestRebuild: what a wrong rule left in gold is taken out, exactly in the range
// (invariant 22).
func TestRebuild(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.someFleet(t)
	p.await(t, "gold to have the fleet", caughtUp)
	live := p.rows(t, "gold.content")
	before, after := p.leaveVersions(t)
	wrong := p.rows(t, "gold.content")
	if status, out := p.tool(p.databaseURL, "verify"); status != 1 || !strings.Contains(out, "2 differ") {
		t.Fatalf("verify ends with %d:\n%s", status, out)
	}
	p.unchanging(t, p.databaseURL) // merging takes nothing out

	rebuild := func(args ...string) {
		t.Helper()
		plan := p.batch(t, p.databaseURL, append(args, "--rebuild", "--plan")...)
		done := p.batch(t, p.databaseURL, append(args, "--rebuild")...)
		windows, added, removed := changed(t, done)
		if w, a, r := changed(t, plan); w != windows || a != added || r != removed || windows != 1 || removed != 1 {
			t.Errorf("planned\n%s\ndone\n%s", plan, done)
		}
	}
	rebuild("--last-sequence", fmt.Sprint(before))
	if got := differing(wrong, p.rows(t, "gold.content")); got != 1 {
		t.Errorf("%d rows differ after half is rebuilt", got)
	}
	rebuild("--first-sequence", fmt.Sprint(after))
	sameRows(t, "rebuilt", live, p.rows(t, "gold.content"))
	p.verified(t, p.databaseURL, "readings")

	js := p.jetStream(t)
	stream, err := js.Stream(t.Context(), broker.StreamReadings)
	if err == nil {
		err = stream.Purge(t.Context(), jetstream.WithPurgeSequence(5))
	}
	if err != nil {
		t.Fatal(err)
	}
	status, out := p.tool(p.databaseURL, "run-batch", "--rebuild")
	if status != 1 || !strings.Contains(out, "does not hold the beginning of the range") {
		t.Errorf("a rebuild of what is gone ends with %d:\n%s", status, out)
	}
	if status, out := p.tool(p.databaseURL, "verify"); status != 0 || !strings.Contains(out, "rows are unverifiable in part") {
		t.Errorf("verify of what is gone in part ends with %d:\n%s", status, out)
	}
}

func differing(a, b []string) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// leaveVersions puts two versions into gold that no reading gives, with stamps of
// readings of which the first ones come up to a sequence, the others from another on.
func (p *platform) leaveVersions(t *testing.T) (upTo, from uint64) {
	t.Helper()
	store := p.store(t)
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	epochs, err := catalog.Epochs{}.Append(time.Time{}, []byte(c.Document()))
	if err != nil {
		t.Fatal(err)
	}
	var rows []goldstore.VersionsRow
	names := make(map[int64]reading.Series)
	err = store.Read(t.Context(), func(tx *goldstore.ReadTx) error {
		series, err := tx.Series(t.Context(), goldstore.Selector{Metrics: []string{"active_energy"}})
		if err != nil {
			return err
		}
		places := make([]goldstore.Place, len(series))
		for i := range series {
			names[series[i].ID], places[i].Series = series[i].Series, &series[i]
		}
		found, err := tx.VersionsFrom(t.Context(), places, 200)
		rows = slices.Concat(found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	one, other := &rows[0], &rows[0]
	for i := range rows {
		if rows[i].Versions[0].Stamp.Sequence < one.Versions[0].Stamp.Sequence {
			one = &rows[i]
		}
		if rows[i].Versions[0].Stamp.Sequence > other.Versions[0].Stamp.Sequence {
			other = &rows[i]
		}
	}
	for _, r := range []*goldstore.VersionsRow{one, other} {
		v := r.Versions[0]
		v.Value *= 1000 // a wrong factor
		s := names[r.SeriesID]
		w := store.NewWriter(reading.Partition(s.EntityID, 4), epochs.Newest(), goldstore.WriterConfig{})
		_, err := w.Flush(t.Context(), goldstore.Flush{Groups: []gold.Group{{
			Key: gold.Key{Series: s, Start: r.Start, Width: r.Width}, Versions: []gold.Version{v},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	upTo, from = one.Versions[0].Stamp.Sequence, other.Versions[0].Stamp.Sequence
	if upTo >= from {
		t.Fatalf("all was received with message %d", upTo)
	}
	return upTo, from
}
