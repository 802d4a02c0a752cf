package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/decide"
)

// strict is a catalogue of a metric with a range, whose windows close at once.
const strict = `
units:
  V: {dimension: voltage}
metrics:
  strict_voltage: {kind: gauge, unit: V, min: 0, max: 300, lateness: 1ms, cadence: 5m}
`

// quarantineTool runs energy quarantine and returns what it wrote.
func (p *platform) quarantineTool(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, status := p.tryQuarantineTool(t, args...)
	if status != 0 {
		t.Fatalf("energy quarantine %s: status %d\n%s%s", strings.Join(args, " "), status, out, errOut)
	}
	return out
}

func (p *platform) tryQuarantineTool(t *testing.T, args ...string) (out, errOut string, status int) {
	t.Helper()
	return tool(t, []string{"ENERGY_QUERY_ADDRESS=" + p.grpc}, append([]string{"quarantine"}, args...)...)
}

// entries lists entries, in any state where none is given.
func (p *platform) entries(t *testing.T, args ...string) (all []*energyv1.QuarantineEntry) {
	t.Helper()
	if !slices.Contains(args, "--state") {
		args = append(args, "--state", "all")
	}
	out := p.quarantineTool(t, append([]string{"list", "--format", "json"}, args...)...)
	for line := range strings.Lines(out) {
		e := new(energyv1.QuarantineEntry)
		if err := protojson.Unmarshal([]byte(line), e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// entry returns the one entry of an entity.
func (p *platform) entry(t *testing.T, entity string) *energyv1.QuarantineEntry {
	t.Helper()
	all := p.entries(t, "--entity", entity)
	if len(all) != 1 {
		t.Fatalf("%s has %d entries: %v", entity, len(all), all)
	}
	return all[0]
}

// states lists the states of an entity's entries, by key.
func (p *platform) states(t *testing.T, entity string) (states []string) {
	t.Helper()
	for _, e := range p.entries(t, "--entity", entity) {
		states = append(states, strings.ToLower(strings.TrimPrefix(e.GetState().String(), "QUARANTINE_STATE_")))
	}
	return states
}

// volts publishes readings of an entity, five minutes apart from knownDay on.
func (p *platform) volts(t *testing.T, entity string, values ...float64) {
	t.Helper()
	var all []map[string]any
	for i, v := range values {
		all = append(all, map[string]any{
			"entity_id": entity, "metric": "strict_voltage", "unit": "V", "value": v,
			"time": knownDay.Add(time.Duration(i) * 5 * time.Minute),
		})
	}
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	send(t, p, "application/json", string(payload))
}

// quarters returns the answers for an entity, as known at a time if one is given.
func (p *platform) quarters(t *testing.T, entity string, knownAt *timestamppb.Timestamp) []*energyv1.Aggregate {
	t.Helper()
	return p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Selector: &energyv1.Selector{EntityIds: []string{entity}}, Window: fixedWindow(15 * time.Minute), KnownAt: knownAt,
	})[entity+" strict_voltage"]
}

// strictPlatform is an embedded platform under the strict catalogue.
func strictPlatform(t *testing.T) *platform {
	t.Helper()
	p := embedded(t)
	p.apply(t, strict)
	return p
}

// quiet waits until all that was sent is where it goes, and nothing was lost.
func (p *platform) quiet(t *testing.T) {
	t.Helper()
	if s := p.await(t, "gold to catch up", caughtUp); s.GetMissing() != 0 || s.GetRedelivered() != 0 {
		t.Errorf("%d readings are missing, %d came twice", s.GetMissing(), s.GetRedelivered())
	}
}

// TestReleasedReadingsCount releases a reading that was out of range: it counts from then
// on, and not before; the window, which had closed, is restated (invariant 18).
func TestReleasedReadingsCount(t *testing.T) {
	t.Parallel()
	p := strictPlatform(t)
	p.volts(t, "m", 230, 400, 231)
	p.quiet(t)
	before, was := timestamppb.Now(), p.quarters(t, "m", nil)
	if len(was) != 1 || was[0].GetReceived() != 2 || was[0].GetFinality() != energyv1.Finality_FINALITY_FINAL {
		t.Fatalf("before the release: %v", was)
	}
	e := p.entry(t, "m")
	if e.GetState() != energyv1.QuarantineState_QUARANTINE_STATE_OPEN || e.GetRule() != "out_of_range" ||
		e.GetReading().GetValue() != 400 || e.GetEpoch() != 2 {
		t.Errorf("the entry is %v", e)
	}
	if out := p.quarantineTool(t, "show", e.GetKey()); !strings.Contains(out, "above the maximum 300") ||
		!strings.Contains(out, "readings.test") || !strings.Contains(out, `"value":400`) {
		t.Errorf("the entry is shown as\n%s", out)
	}

	p.quarantineTool(t, "release", e.GetKey(), "--by", "ann", "--reason", "it was that high")
	p.quiet(t)
	is := p.quarters(t, "m", nil)
	if len(is) != 1 || is[0].GetReceived() != 3 || is[0].GetStatistics().GetMax() != 400 ||
		is[0].GetFinality() != energyv1.Finality_FINALITY_RESTATED {
		t.Errorf("after the release: %v", is)
	}
	diff := cmp.Diff(was, p.quarters(t, "m", before), protocmp.Transform(),
		protocmp.IgnoreFields(&energyv1.Aggregate{}, "revision", "last_change"))
	if diff != "" {
		t.Errorf("as known before the release (-was +is):\n%s", diff)
	}
	e = p.entry(t, "m")
	if e.GetState() != energyv1.QuarantineState_QUARANTINE_STATE_RELEASED || e.GetPerson() != "ann" ||
		e.GetReason() != "it was that high" || e.GetDecidedAt().AsTime().Before(before.AsTime()) {
		t.Errorf("the entry is %v", e)
	}

	// Released again, by another and by the same, nothing changes: neither if the
	// call sees that it was, nor if it does not.
	content := p.rows(t, "gold.content")
	if out := p.quarantineTool(t, "release", e.GetKey(), "--by", "bob", "--reason", "me too"); !strings.Contains(out, "1 were before") {
		t.Errorf("released again: %s", out)
	}
	p.releaseUnseen(t, e.GetKey(), "bob")
	p.releaseUnseen(t, e.GetKey(), "ann")
	p.quiet(t)
	sameRows(t, "content", content, p.rows(t, "gold.content"))
	if diff := cmp.Diff(e, p.entry(t, "m"), protocmp.Transform()); diff != "" {
		t.Errorf("the entry has changed:\n%s", diff)
	}

	// A replay gives releases too.
	p.verified(t, p.databaseURL, "readings")
	second := database(t)
	p.batch(t, second)
	sameRows(t, "another database", content, p.on(second).rows(t, "gold.content"))
}

// releaseUnseen releases an entry as one does who has read it before anybody else
// released it.
func (p *platform) releaseUnseen(t *testing.T, key, person string) {
	t.Helper()
	k, err := goldstore.ParseQuarantineKey(key)
	if err != nil {
		t.Fatal(err)
	}
	store, js := p.store(t), p.jetStream(t)
	epochs, err := broker.OpenEpochs(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	documents, err := epochs.After(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var all catalog.Epochs
	for _, d := range documents {
		if all, err = all.Append(d.Activated, d.Document); err != nil {
			t.Fatal(err)
		}
	}
	var found []goldstore.QuarantineEntry
	err = store.Read(t.Context(), func(tx *goldstore.ReadTx) (err error) {
		found, err = tx.QuarantineEntries(t.Context(), []goldstore.QuarantineKey{k}, false)
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d entries: %v", len(found), err)
	}
	found[0].State = goldstore.StateOpen
	publisher, err := broker.NewPublisher(js, broker.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	d := decide.Deps{JetStream: js, Publisher: publisher, Epochs: func() catalog.Epochs { return all }, Partitions: 4}
	done, err := d.Release(t.Context(), found, reading.Decision{Person: person, At: time.Now().UnixNano(), Reason: "again"})
	if err != nil || len(done.Done) != 1 {
		t.Fatalf("%+v: %v", done, err)
	}
}

// TestDecisionsOnQuarantine goes through what else becomes of entries (invariant 18).
func TestDecisionsOnQuarantine(t *testing.T) {
	t.Parallel()
	t.Run("DiscardedThenReleased", func(t *testing.T) {
		t.Parallel()
		p := strictPlatform(t)
		p.volts(t, "m", 230, 400)
		p.quiet(t)
		key := p.entry(t, "m").GetKey()
		content := p.rows(t, "gold.content")
		p.quarantineTool(t, "discard", "--rule", "out_of_range", "--by", "ann", "--reason", "nonsense", "--yes")
		p.quarantineTool(t, "discard", key, "--by", "bob", "--reason", "nonsense")
		sameRows(t, "content", content, p.rows(t, "gold.content"))
		if e := p.entry(t, "m"); e.GetState() != energyv1.QuarantineState_QUARANTINE_STATE_DISCARDED || e.GetPerson() != "ann" {
			t.Errorf("the entry is %v", e)
		}
		p.quarantineTool(t, "release", key, "--by", "bob", "--reason", "it was true")
		p.quiet(t)
		if got := p.quarters(t, "m", nil)[0].GetReceived(); got != 2 {
			t.Errorf("%d readings count", got)
		}
		out, errOut, status := p.tryQuarantineTool(t, "discard", key, "--by", "ann", "--reason", "no")
		if status != 1 || !strings.Contains(errOut, "publish its withdrawal") {
			t.Errorf("a released reading is discarded: %d %s%s", status, out, errOut)
		}
		if e := p.entry(t, "m"); e.GetState() != energyv1.QuarantineState_QUARANTINE_STATE_RELEASED || e.GetPerson() != "bob" {
			t.Errorf("the entry is %v", e)
		}
	})
	t.Run("AnotherCatalogue", func(t *testing.T) {
		t.Parallel()
		p := strictPlatform(t)
		p.volts(t, "wide", 230, 400)
		p.volts(t, "kept", 230, 600)
		p.volts(t, "let", 230, 700)
		p.quiet(t)
		p.quarantineTool(t, "release", "--entity", "let", "--by", "ann", "--reason", "true", "--yes")
		p.apply(t, strings.Replace(strict, "max: 300", "max: 500", 1))
		p.quiet(t)
		for entity, want := range map[string][]string{
			"wide": {"judged_again"}, "kept": {"judged_again", "open"}, "let": {"judged_again", "released"},
		} {
			if diff := cmp.Diff(want, p.states(t, entity)); diff != "" {
				t.Errorf("entries of %s (-want +got):\n%s", entity, diff)
			}
		}
		for entity, want := range map[string]uint64{"wide": 2, "kept": 1, "let": 2} {
			if got := p.quarters(t, entity, nil)[0].GetReceived(); got != want {
				t.Errorf("%d readings of %s count, want %d", got, entity, want)
			}
		}
		counted := p.quarantineTool(t, "count", "--state", "open", "--format", "csv")
		if want := "stage,rule,state,entries\nsilver,out_of_range,open,1\n"; counted != want {
			t.Errorf("counted %q, want %q", counted, want)
		}
	})
	// What BRONZE does not hold is not judged again when a catalogue is applied.
	t.Run("JudgedAgainWithoutBronze", func(t *testing.T) {
		t.Parallel()
		p := strictPlatform(t)
		p.volts(t, "wide", 230, 400)
		p.volts(t, "kept", 230, 600)
		p.quiet(t)
		out, errOut, status := p.tryQuarantineTool(t, "rejudge", "--entity", "wide", "--yes")
		if status != 1 || !strings.Contains(errOut, "refuses it as before") {
			t.Errorf("judged again by the same catalogue: %d %s%s", status, out, errOut)
		}
		bronze, err := p.jetStream(t).Stream(t.Context(), broker.StreamBronze)
		if err == nil {
			err = bronze.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		p.apply(t, strings.Replace(strict, "max: 300", "max: 500", 1))
		if diff := cmp.Diff([]string{"open"}, p.states(t, "wide")); diff != "" {
			t.Fatal(diff)
		}
		p.quarantineTool(t, "rejudge", "--rule", "out_of_range", "--yes")
		if out := p.quarantineTool(t, "rejudge", "--entity", "wide", "--state", "all", "--yes"); !strings.Contains(out, "1 were before") {
			t.Errorf("judged again twice: %s", out)
		}
		p.quiet(t)
		if got := p.quarters(t, "wide", nil)[0].GetReceived(); got != 2 {
			t.Errorf("%d readings count", got)
		}
		for entity, want := range map[string][]string{"wide": {"judged_again"}, "kept": {"judged_again", "open"}} {
			if diff := cmp.Diff(want, p.states(t, entity)); diff != "" {
				t.Errorf("entries of %s (-want +got):\n%s", entity, diff)
			}
		}
	})
	t.Run("NotDecoded", func(t *testing.T) {
		t.Parallel()
		p := strictPlatform(t)
		send(t, p, "application/json", `{"entity_id":"m","metric":`)
		p.quiet(t)
		undecodable := p.entries(t, "--stage", "ingest")[0]
		for command, want := range map[string]string{"release": "could not be decoded", "rejudge": "this build refuses it as before"} {
			args := []string{command, undecodable.GetKey()}
			if command == "release" {
				args = append(args, "--by", "ann", "--reason", "why not")
			}
			if _, errOut, status := p.tryQuarantineTool(t, args...); status != 1 || !strings.Contains(errOut, want) {
				t.Errorf("%s: %d %s", command, status, errOut)
			}
		}
		// An earlier build did not understand these: one message is still held, one is
		// gone, and of one only a part was kept.
		js := p.jetStream(t)
		good := fmt.Sprintf(`{"entity_id":"m","metric":"strict_voltage","unit":"V","time":%q,"value":229}`,
			knownDay.Format(time.RFC3339))
		ack, err := js.Publish(t.Context(), "readings.test", []byte(good))
		if err != nil {
			t.Fatal(err)
		}
		stored, err := broker.Get(t.Context(), js, broker.StreamReadings, ack.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		held := reading.Stamp{Received: stored.Received.UnixNano(), Sequence: ack.Sequence}
		gone, cut := held, held
		gone.Sequence, cut.Sequence = 1e6, 2e6
		p.refused(t, held, good)
		p.refused(t, gone, strings.Replace(good, `"m"`, `"gone"`, 1))
		p.refused(t, cut, good+strings.Repeat(" ", 64<<10))
		p.quiet(t)
		content := p.rows(t, "gold.content")
		out, errOut, status := p.tryQuarantineTool(t, "rejudge", "--stage", "ingest", "--yes")
		if status != 1 || !strings.Contains(out, "2 entries sent") || !strings.Contains(errOut, "only a part of it was kept") {
			t.Errorf("%d %s%s", status, out, errOut)
		}
		p.quiet(t)
		if a := p.quarters(t, "gone", nil); len(a) != 1 || a[0].GetReceived() != 1 {
			t.Errorf("what was decoded again is answered as %v", a)
		}
		p.sameOf(t, content, "m") // a duplicate
		for state, want := range map[string]int{"open": 2, "judged_again": 2} {
			if n := len(p.entries(t, "--stage", "ingest", "--state", state)); n != want {
				t.Errorf("%d entries of ingest are %s, want %d", n, state, want)
			}
		}
	})
	t.Run("NothingByMistake", func(t *testing.T) {
		t.Parallel()
		p := strictPlatform(t)
		p.volts(t, "m", 400)
		p.quiet(t)
		key := p.entry(t, "m").GetKey()
		for _, tt := range []struct {
			args   string
			status int
			says   string
		}{
			{"release --rule out_of_range --reason x", 2, "--yes makes it so that these 1 entries are released"},
			{"release " + key, 2, "--reason is required"},
			{"release --reason x", 2, "which entries?"},
			{"release --reason x --yes", 2, "which entries?"},
			{"release --reason x --yes " + key, 2, "not both"},
			{"release --reason x nokey", 2, "is no key"},
			{"release --reason x 1.0.1.0.silver.out_of_range.1", 1, "there is no such entry"},
			{"discard --reason x --state closed", 2, "not known"},
			{"list --state all,open", 2, "all is every state"},
			{"list --rule nonsense", 2, "is no rule"},
			{"show 1.0.1.0.silver.out_of_range.1", 1, "there is no entry"},
		} {
			_, errOut, status := p.tryQuarantineTool(t, strings.Fields(tt.args)...)
			if status != tt.status || !strings.Contains(errOut, tt.says) {
				t.Errorf("%s: status %d\n%s", tt.args, status, errOut)
			}
		}
		if diff := cmp.Diff([]string{"open"}, p.states(t, "m")); diff != "" {
			t.Error(diff)
		}
	})
}

// refused puts a payload into quarantine as ingest does with what it cannot decode.
func (p *platform) refused(t *testing.T, stamp reading.Stamp, payload string) {
	t.Helper()
	var e wire.QuarantineEncoder
	e.Add(wire.Refusal{
		Stamp: stamp, Rules: reading.Rules(0).With(reading.Undecodable), Detail: "not understood", Payload: []byte(payload),
	})
	data, err := e.Marshal("ingest", reading.Undecodable, 0)
	if err == nil {
		_, err = p.jetStream(t).PublishMsg(t.Context(),
			&nats.Msg{Subject: broker.QuarantineSubject("ingest", reading.Undecodable.String()), Data: data})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sameOf compares the rows of an entity.
func (p *platform) sameOf(t *testing.T, want []string, entity string) {
	t.Helper()
	of := func(rows []string) (of []string) {
		for _, row := range rows {
			if strings.HasPrefix(row, "("+entity+",") {
				of = append(of, row)
			}
		}
		return of
	}
	sameRows(t, "rows of "+entity, of(want), of(p.rows(t, "gold.content")))
}
