package goldstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/reading"
)

// told is a row of QUARANTINE: a refusal, or a decision.
type told struct {
	row      *QuarantineRow
	decision *QuarantineDecision
}

// drawTold draws what happens to a few readings: refusals under several epochs,
// judgements that accept them, releases and discards by several people.
func drawTold(t *rapid.T) told {
	stamp := reading.Stamp{Received: rapid.Int64Range(1, 2).Draw(t, "received"), Sequence: 1}
	stage := rapid.SampledFrom([]string{"silver", "silver", "ingest"}).Draw(t, "stage")
	epoch := rapid.Uint64Range(1, 3).Draw(t, "epoch")
	if rapid.Bool().Draw(t, "refused") {
		return told{row: &QuarantineRow{Stamp: stamp, Stage: stage, Rule: "out_of_range", Epoch: epoch}}
	}
	d := &QuarantineDecision{
		Stamp: stamp, Stage: stage, Epoch: epoch,
		Resolution: reading.Resolution(rapid.IntRange(int(reading.Accepted), int(reading.Discarded)).Draw(t, "resolution")),
	}
	if d.Resolution != reading.Accepted {
		d.Decision = reading.Decision{
			Person: rapid.SampledFrom([]string{"ann", "Bob", "cid"}).Draw(t, "person"), At: rapid.Int64Range(5, 7).Draw(t, "at"),
			Reason: rapid.SampledFrom([]string{"", "x"}).Draw(t, "reason"),
		}
	}
	return told{decision: d}
}

// naiveEntries says by the sentences of docs/quarantine.md what the entries are.
func naiveEntries(all []told) map[QuarantineKey]string {
	entries := make(map[QuarantineKey]string)
	for _, one := range all {
		if one.row == nil {
			continue
		}
		key := one.row.Key()
		same := func(stamp reading.Stamp, stage string) bool { return stamp == key.Stamp && stage == key.Stage }
		var by []reading.Decision
		state := "open"
		decided := func(as reading.Resolution, whenever bool) bool {
			by = nil
			for _, other := range all {
				d := other.decision
				if d != nil && same(d.Stamp, d.Stage) && d.Resolution == as && (whenever || d.Epoch >= key.Epoch) {
					by = append(by, d.Decision)
				}
			}
			return len(by) > 0
		}
		later := slices.ContainsFunc(all, func(o told) bool {
			return o.row != nil && same(o.row.Stamp, o.row.Stage) && o.row.Epoch > key.Epoch
		})
		switch {
		case later:
			state = "judged_again"
		case decided(reading.Released, false):
			state = "released"
		case decided(reading.Accepted, false):
			state, by = "judged_again", nil
		case decided(reading.Discarded, true):
			state = "discarded"
		}
		first := reading.Decision{}
		if len(by) > 0 {
			first = slices.MinFunc(by, func(a, b reading.Decision) int {
				return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Person, b.Person), cmp.Compare(a.Reason, b.Reason))
			})
		}
		entries[key] = fmt.Sprintf("%s %v", state, first)
	}
	return entries
}

// TestStatesAreAFunctionOfTheStream projects the same rows in several orders, cuts and
// repetitions (invariant 18).
func TestStatesAreAFunctionOfTheStream(t *testing.T) {
	t.Parallel()
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(drawTold), 1, 12).Draw(t, "told")
		want := naiveEntries(all)
		for range 2 {
			sent := append(slices.Clone(all), rapid.SliceOfN(rapid.SampledFrom(all), 0, 4).Draw(t, "repeated")...)
			got := projected(t, s, rapid.Permutation(sent).Draw(t, "order"))
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
		}
	})
}

// projected empties the quarantine, projects rows in parts and returns the entries.
func projected(t *rapid.T, s *Store, sent []told) map[QuarantineKey]string {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.pool.Exec(ctx, "TRUNCATE gold.quarantine, gold.quarantine_decisions; DELETE FROM gold.positions")
	check(err)
	p, err := s.LoadPosition(ctx, "quarantine", 0)
	check(err)
	_, err = s.ResetPosition(ctx, p, "QUARANTINE", created, 0)
	check(err)
	for at := uint64(0); len(sent) > 0; at++ {
		n := rapid.IntRange(1, len(sent)).Draw(t, "batch")
		var (
			rows      []QuarantineRow
			decisions []QuarantineDecision
		)
		for _, one := range sent[:n] {
			if one.row != nil {
				rows = append(rows, *one.row)
			} else {
				decisions = append(decisions, *one.decision)
			}
		}
		move := PositionMove{Stage: "quarantine", Stream: "QUARANTINE", Created: created, From: at, To: at + 1}
		check(s.ProjectQuarantine(ctx, move, rows, decisions))
		sent = sent[n:]
	}
	entries := make(map[QuarantineKey]string)
	check(s.Read(ctx, func(tx *ReadTx) error {
		return tx.Quarantine(ctx, QuarantineFilter{}, QuarantinePage{}, func(e *QuarantineEntry) error {
			entries[e.Key()] = fmt.Sprintf("%s %v", e.State, e.Decision)
			return nil
		})
	}))
	return entries
}

// TestQuarantineIsFilteredAndPaged asks for parts of a few entries.
func TestQuarantineIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	s := open(t)
	p, err := s.LoadPosition(t.Context(), "quarantine", 0)
	if err == nil {
		_, err = s.ResetPosition(t.Context(), p, "QUARANTINE", created, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	entry := func(received int64, entity, metric string, change ...func(*QuarantineRow)) QuarantineRow {
		r := QuarantineRow{
			Stamp: reading.Stamp{Received: received, Sequence: uint64(received), Stream: 1, Index: 2}, Stage: "silver",
			Rule: "out_of_range", Epoch: 1, Rules: reading.Rules(0).With(reading.OutOfRange), Detail: "too much",
			Reading: reading.Reading{EntityID: entity, Metric: metric, Unit: "V", Time: received - 1, Value: 7, Revision: 1 << 63},
		}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	rows := []QuarantineRow{
		entry(10, "a", "m"), entry(20, "b", "m"), entry(30, "a", "n"),
		entry(40, "", "", func(r *QuarantineRow) {
			r.Stage, r.Rule, r.Payload, r.Epoch, r.Reading = "ingest", "undecodable", []byte("{"), 0, reading.Reading{}
		}),
		entry(50, "a", "m", func(r *QuarantineRow) { r.Rule = "time_in_future" }),
	}
	discarded := []QuarantineDecision{{
		Stamp: rows[1].Stamp, Stage: "silver", Resolution: reading.Discarded, Epoch: 1,
		Decision: reading.Decision{Person: "ann", At: 60, Reason: "no"},
	}}
	move := PositionMove{Stage: "quarantine", Stream: "QUARANTINE", Created: created, To: 1}
	if err := s.ProjectQuarantine(t.Context(), move, rows, discarded); err != nil {
		t.Fatal(err)
	}
	at := func(x int64) *int64 { return &x }
	key := rows[2].Key()
	for name, tt := range map[string]struct {
		filter QuarantineFilter
		page   QuarantinePage
		want   []int64 // receive times
	}{
		"all":              {want: []int64{10, 20, 30, 40, 50}},
		"the newest first": {page: QuarantinePage{NewestFirst: true, Limit: 2}, want: []int64{50, 40}},
		"behind a key":     {page: QuarantinePage{After: &key}, want: []int64{40, 50}},
		"behind a key, the newest first": {
			page: QuarantinePage{After: &key, NewestFirst: true}, want: []int64{20, 10}},
		"a state":       {filter: QuarantineFilter{States: []QuarantineState{StateOpen}}, want: []int64{10, 30, 40, 50}},
		"two states":    {filter: QuarantineFilter{States: []QuarantineState{StateReleased, StateDiscarded}}, want: []int64{20}},
		"a stage":       {filter: QuarantineFilter{Stages: []string{"ingest"}}, want: []int64{40}},
		"a rule":        {filter: QuarantineFilter{Rules: []string{"time_in_future"}}, want: []int64{50}},
		"an entity":     {filter: QuarantineFilter{Entities: []string{"a"}, Metrics: []string{"m"}}, want: []int64{10, 50}},
		"receive times": {filter: QuarantineFilter{ReceivedFrom: at(20), ReceivedTo: at(40)}, want: []int64{20, 30}},
		"event times":   {filter: QuarantineFilter{To: at(40)}, want: []int64{10, 20, 30}},
	} {
		var got []int64
		err := s.Read(t.Context(), func(tx *ReadTx) error {
			return tx.Quarantine(t.Context(), tt.filter, tt.page, func(e *QuarantineEntry) error {
				got = append(got, e.Stamp.Received)
				return nil
			})
		})
		if diff := gocmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	err = s.Read(t.Context(), func(tx *ReadTx) error {
		found, err := tx.QuarantineEntries(t.Context(), []QuarantineKey{rows[3].Key(), rows[1].Key(), {Rule: "none"}}, true)
		if err != nil {
			return err
		}
		want := []QuarantineEntry{
			{QuarantineRow: rows[1], State: StateDiscarded, Decision: discarded[0].Decision},
			{QuarantineRow: rows[3], State: StateOpen, PayloadBytes: 1},
		}
		if diff := gocmp.Diff(want, found); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		groups, err := tx.QuarantineGroups(t.Context(), QuarantineFilter{Stages: []string{"silver"}})
		if diff := gocmp.Diff([]QuarantineGroup{
			{"silver", "out_of_range", StateDiscarded, 1}, {"silver", "out_of_range", StateOpen, 2},
			{"silver", "time_in_future", StateOpen, 1},
		}, groups); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReleasesAreFoundByTheirTimes has duplicates of a reading that two people released.
func TestReleasesAreFoundByTheirTimes(t *testing.T) {
	t.Parallel()
	s := open(t)
	p, err := s.LoadPosition(t.Context(), "quarantine", 0)
	if err == nil {
		_, err = s.ResetPosition(t.Context(), p, "QUARANTINE", created, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	var (
		rows      []QuarantineRow
		decisions []QuarantineDecision
	)
	for i, person := range []string{"bob", "ann", "cid", "dan"} {
		stamp := reading.Stamp{Received: int64(i + 1), Sequence: 1}
		rows = append(rows, QuarantineRow{
			Stamp: stamp, Stage: "silver", Rule: "out_of_range", Epoch: 1, Reading: reading.Reading{EntityID: "a", Metric: "m"},
		})
		decisions = append(decisions, QuarantineDecision{
			Stamp: stamp, Stage: "silver", Resolution: reading.Released, Epoch: 1,
			Decision: reading.Decision{Person: person, At: []int64{60, 50, 70, 70}[i], Reason: "true"},
		})
	}
	move := PositionMove{Stage: "quarantine", Stream: "QUARANTINE", Created: created, To: 1}
	if err := s.ProjectQuarantine(t.Context(), move, rows, decisions); err != nil {
		t.Fatal(err)
	}
	err = s.Read(t.Context(), func(tx *ReadTx) error {
		got, err := tx.Releases(t.Context(), "a", "m", []int64{50, 60, 70, 80})
		if diff := gocmp.Diff(map[int64]reading.Decision{50: decisions[1].Decision, 60: decisions[0].Decision}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		other, othersErr := tx.Releases(t.Context(), "b", "m", []int64{50})
		if len(other) != 0 {
			t.Errorf("of another entity: %v", other)
		}
		return errors.Join(err, othersErr)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestQuarantineKeysAreText writes keys and reads them back.
func TestQuarantineKeysAreText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := QuarantineKey{
			Stamp: reading.Stamp{
				Received: rapid.Int64().Draw(t, "received"), Sequence: rapid.Uint64().Draw(t, "sequence"),
				Stream: rapid.Uint32().Draw(t, "stream"), Index: rapid.Uint32().Draw(t, "index"),
			},
			Stage: rapid.SampledFrom([]string{"silver", "a.b", ""}).Draw(t, "stage"), Rule: "out_of_range",
			Epoch: rapid.Uint64().Draw(t, "epoch"),
		}
		got, err := ParseQuarantineKey(want.String())
		if err != nil || got != want {
			t.Fatalf("%s is read as %+v: %v", want, got, err)
		}
	})
	for _, text := range []string{"", "1.2.3", "1.2.3.4.silver.out_of_range.x", "a.2.3.4.silver.out_of_range.1", "1.-2.3.4.s.r.1"} {
		if k, err := ParseQuarantineKey(text); err == nil {
			t.Errorf("%q is read as %+v", text, k)
		}
	}
}
