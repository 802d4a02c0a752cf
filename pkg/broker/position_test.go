package broker_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

func positions(tb testing.TB, js jetstream.JetStream) *broker.Positions {
	tb.Helper()
	p, err := broker.OpenPositions(testContext(tb), js)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func somePosition() broker.Position {
	return broker.Position{
		Stream: "BRONZE", Created: time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("x", 3600)), Sequence: 7,
		Outputs: []broker.Output{
			{Stream: "SILVER", Created: time.Unix(0, 5).UTC(), Sequence: 9, Sum: 3},
			{Stream: "QUARANTINE", Created: time.Unix(0, 6).UTC(), Sequence: 1, Sum: 4},
		},
		Counts: broker.Counts{In: 10, Out: 8, Quarantined: 2},
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()

	// As the builds stored it that knew of one output.
	t.Run("OfEarlierBuildsAreRead", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p, ctx := positions(t, js), testContext(t)
		kv, err := js.KeyValue(ctx, broker.BucketPositions)
		if err == nil {
			_, err = kv.PutString(ctx, "silver.0", `{"stream":"BRONZE","created":"2026-01-01T00:00:00Z","sequence":7,`+
				`"out_stream":"SILVER","out_created":"2026-01-02T00:00:00Z","out_sequence":9,"out_sum":3,"counts":{"in":1}}`)
		}
		if err != nil {
			t.Fatal(err)
		}
		day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		want := broker.Position{
			Stream: "BRONZE", Created: day, Sequence: 7, Counts: broker.Counts{In: 1},
			Outputs: []broker.Output{
				{Stream: "SILVER", Created: day.AddDate(0, 0, 1), Sequence: 9, Sum: 3}, {Stream: "QUARANTINE"},
			},
		}
		got, _, err := p.Load(ctx, "silver.0")
		if diff := cmp.Diff(want, got.Onto("SILVER", "QUARANTINE")); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})

	t.Run("AreStoredByCompareAndSet", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p, ctx := positions(t, js), testContext(t)
		if pos, revision, err := p.Load(ctx, "silver.3"); err != nil || revision != 0 || !cmp.Equal(broker.Position{}, pos) {
			t.Fatalf("absent: %v, %d, %v", pos, revision, err)
		}
		first := somePosition()
		r1, err := p.Store(ctx, "silver.3", first, 0)
		if err != nil {
			t.Fatal(err)
		}
		second := first
		second.Sequence = 8
		_, err = p.Store(ctx, "silver.3", second, 0)
		if !errors.Is(err, broker.ErrPositionMoved) || broker.IsRetryable(err) {
			t.Errorf("over one that exists: %v", err)
		}
		r2, err := p.Store(ctx, "silver.3", second, r1)
		if err != nil || r2 <= r1 {
			t.Fatalf("revision %d after %d, %v", r2, r1, err)
		}
		third := second
		third.Sequence = 9
		if _, err := p.Store(ctx, "silver.3", third, r1); !errors.Is(err, broker.ErrPositionMoved) {
			t.Errorf("over an old revision: %v", err)
		}
		if again, err := p.Store(ctx, "silver.3", second, r1); err != nil || again != r2 {
			t.Errorf("the same once more, as after a timeout: %d, %v", again, err)
		}
		got, revision, err := p.Load(ctx, "silver.3")
		second.Created = second.Created.UTC()
		if err != nil || revision != r2 || !cmp.Equal(second, got) {
			t.Errorf("loaded %d, %v\n%s", revision, err, cmp.Diff(second, got))
		}
	})

	t.Run("AreListed", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p, ctx := positions(t, js), testContext(t)
		if all, err := p.List(ctx); err != nil || len(all) != 0 {
			t.Fatalf("none: %v, %v", all, err)
		}
		want := map[string]broker.Position{}
		for n, key := range []string{"ingest", "silver.0", "silver.1"} {
			pos := broker.Position{Stream: "BRONZE", Created: time.Unix(1, 0).UTC(), Sequence: uint64(n)}
			want[key] = pos
			if _, err := p.Store(ctx, key, pos, 0); err != nil {
				t.Fatal(err)
			}
		}
		got, err := p.List(ctx)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})

	t.Run("AreCanonicalJSON", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		if _, err := positions(t, js).Store(ctx, "silver.3", somePosition(), 0); err != nil {
			t.Fatal(err)
		}
		kv, err := js.KeyValue(ctx, broker.BucketPositions)
		if err != nil {
			t.Fatal(err)
		}
		entry, err := kv.Get(ctx, "silver.3")
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"stream":"BRONZE","created":"2026-01-02T02:04:05.000000678Z","sequence":7,` +
			`"outputs":[{"stream":"SILVER","created":"1970-01-01T00:00:00.000000005Z","sequence":9,"sum":3},` +
			`{"stream":"QUARANTINE","created":"1970-01-01T00:00:00.000000006Z","sequence":1,"sum":4}],` +
			`"counts":{"in":10,"out":8,"quarantined":2}}`
		if got := string(entry.Value()); got != want || !json.Valid(entry.Value()) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("NeedTheirBucket", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		if err := js.DeleteKeyValue(testContext(t), broker.BucketPositions); err != nil {
			t.Fatal(err)
		}
		if _, err := broker.OpenPositions(testContext(t), js); !errors.Is(err, broker.ErrNotProvisioned) {
			t.Errorf("got %v", err)
		}
	})
}

// stage is a small pipeline: 6 messages in BRONZE, read up to 4, 3 outputs in SILVER
// and 2 in QUARANTINE.
func stage(t *testing.T) (jetstream.JetStream, broker.Position) {
	t.Helper()
	js, _ := provisioned(t)
	ctx := testContext(t)
	pos, reason, err := broker.Verify(ctx, js, broker.Position{Stream: "BRONZE"}.Onto("SILVER", "QUARANTINE"))
	if err != nil || reason != "" || pos.Sequence != 0 || pos.Created.IsZero() || pos.Outputs[1].Created.IsZero() {
		t.Fatalf("new position %+v, %q, %v", pos, reason, err)
	}
	publish(t, js, numbered("bronze.0", 1, 6, 50))
	r := reader(t, js, broker.ReaderConfig{Stream: "BRONZE", From: pos.Sequence, Created: pos.Created})
	for range 4 {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		pos.Advance(m)
	}
	out := append(numbered("silver.0", 1, 3, 50), numbered("quarantine.silver.limit", 1, 2, 50)...)
	pos.RestOn(out, publish(t, js, out))
	pos.Counts = broker.Counts{In: 4, Out: 3, Quarantined: 1}
	if pos.Sequence != 4 || pos.Outputs[0].Sequence != 3 || pos.Outputs[1].Sequence != 2 || pos.Received.IsZero() {
		t.Fatalf("position %+v", pos)
	}
	return js, pos
}

// recreate deletes a stream and fills it again, up to a sequence.
func recreate(t *testing.T, js jetstream.JetStream, name, subject string, last int) {
	t.Helper()
	if err := js.DeleteStream(testContext(t), name); err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(testContext(t), js, smallTopology()); err != nil {
		t.Fatal(err)
	}
	if last > 0 {
		publish(t, js, numbered(subject, 101, 100+last, 50))
	}
}

// created is what a position would name for a stream that kept its creation time.
func created(t *testing.T, js jetstream.JetStream, name string) time.Time {
	t.Helper()
	s, err := js.Stream(testContext(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Created
}

// fresh is the outputs of a stage that has stored nothing.
func fresh(t *testing.T, js jetstream.JetStream) []broker.Output {
	t.Helper()
	return []broker.Output{
		{Stream: "SILVER", Created: created(t, js, "SILVER")}, {Stream: "QUARANTINE", Created: created(t, js, "QUARANTINE")},
	}
}

// TestVerify proves invariant 4.
func TestVerify(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, js jetstream.JetStream, pos broker.Position, sequence uint64, reason string) {
		t.Helper()
		got, why, err := broker.Verify(testContext(t), js, pos)
		if err != nil {
			t.Fatal(err)
		}
		if reason == "" && (why != "" || !cmp.Equal(pos, got)) {
			t.Errorf("rewound because %q\n%s", why, cmp.Diff(pos, got))
		}
		counts := broker.Counts{}
		if sequence > 0 { // what was removed before it is not counted again
			counts = pos.Counts
		}
		if reason != "" && (!strings.Contains(why, reason) || got.Sequence != sequence || got.Counts != counts ||
			!cmp.Equal(got.Outputs, fresh(t, js)) || !got.Received.IsZero() || got.Created != created(t, js, "BRONZE")) {
			t.Errorf("reason %q, position %+v", why, got)
		}
	}

	t.Run("KeepsAPositionWhoseStreamsAreThere", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		check(t, js, pos, 0, "")
		publish(t, js, append(numbered("bronze.0", 7, 9, 50), numbered("silver.1", 1, 9, 50)...))
		check(t, js, pos, 0, "")
	})

	t.Run("KeepsAPositionWhoseMessagesWereRemoved", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		for _, name := range []string{"BRONZE", "SILVER"} {
			s, err := js.Stream(testContext(t), name)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Purge(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		check(t, js, pos, 0, "")
	})

	t.Run("RewindsWhenTheInputWasRecreated", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		recreate(t, js, "BRONZE", "bronze.0", 6)
		check(t, js, pos, 0, "input stream BRONZE was recreated")
	})

	t.Run("RewindsWhenTheInputLostItsTail", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		recreate(t, js, "BRONZE", "bronze.0", 3)
		pos.Created = created(t, js, "BRONZE")
		check(t, js, pos, 0, "input stream BRONZE lost its tail: it ends at 3")
	})

	t.Run("RewindsWhenTheInputLostItsTailAndGrewAgain", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		recreate(t, js, "BRONZE", "bronze.0", 9)
		pos.Created = created(t, js, "BRONZE")
		check(t, js, pos, 0, "input stream BRONZE lost its tail: another message has sequence 4")
	})

	t.Run("RewindsWhenTheOutputWasRecreated", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		recreate(t, js, "SILVER", "silver.0", 9)
		check(t, js, pos, 0, "output stream SILVER was recreated")
	})

	t.Run("RewindsWhenTheOutputLostItsTail", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		recreate(t, js, "SILVER", "silver.0", 2)
		pos.Outputs[0].Created = created(t, js, "SILVER")
		check(t, js, pos, 0, "output stream SILVER lost its tail: it ends at 2")
	})

	t.Run("RewindsWhenAnotherWriterUsedTheOutputsLostTail", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		recreate(t, js, "SILVER", "silver.1", 9)
		pos.Outputs[0].Created = created(t, js, "SILVER")
		check(t, js, pos, 0, "output stream SILVER lost its tail: another message has sequence 3")
	})

	// Refusals stand in another stream than the rest, and vanish alone.
	t.Run("RewindsWhenTheQuarantineLostItsTail", func(t *testing.T) {
		t.Parallel()
		for last, reason := range map[int]string{
			1: "output stream QUARANTINE lost its tail: it ends at 1",
			9: "output stream QUARANTINE lost its tail: another message has sequence 2",
		} {
			js, pos := stage(t)
			recreate(t, js, "QUARANTINE", "quarantine.ingest.limit", last)
			check(t, js, pos, 0, "output stream QUARANTINE was recreated")
			pos.Outputs[1].Created = created(t, js, "QUARANTINE")
			check(t, js, pos, 0, reason)
		}
	})

	t.Run("KeepsAPositionThatRestsOnNothingThere", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		pos.Outputs[1] = broker.Output{Stream: "QUARANTINE"} // as of an earlier build
		recreate(t, js, "QUARANTINE", "quarantine.ingest.limit", 0)
		got, reason, err := broker.Verify(testContext(t), js, pos)
		pos.Outputs[1].Created = created(t, js, "QUARANTINE")
		if diff := cmp.Diff(pos, got); err != nil || reason != "" || diff != "" {
			t.Errorf("%q, %v\n%s", reason, err, diff)
		}
	})

	t.Run("RewindsToTheFirstMessageThatIsThere", func(t *testing.T) {
		t.Parallel()
		js, pos := stage(t)
		s, err := js.Stream(testContext(t), "BRONZE")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(testContext(t), jetstream.WithPurgeSequence(3)); err != nil {
			t.Fatal(err)
		}
		recreate(t, js, "SILVER", "silver.0", 0)
		check(t, js, pos, 2, "output stream SILVER was recreated")
	})

	// The broker adds its headers behind those that a producer stored.
	t.Run("IsNotMovedByAProducersHeaders", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		pos, _, err := broker.Verify(ctx, js, broker.Position{Stream: "READINGS"})
		if err != nil {
			t.Fatal(err)
		}
		m := &nats.Msg{Subject: "readings.x", Header: nats.Header{
			"Nats-Time-Stamp": {"1999-01-01T00:00:00Z"}, "Nats-Sequence": {"77"}, "Nats-Num-Pending": {"88"},
			"Nats-Subject": {"readings.y"}, "Status": {"404"},
		}}
		publish(t, js, []*nats.Msg{m})
		r := reader(t, js, broker.ReaderConfig{Stream: "READINGS"})
		pos.Advance(mustNext(t, ctx, r))
		if got, reason, err := broker.Verify(ctx, js, pos); err != nil || reason != "" || !cmp.Equal(pos, got) {
			t.Errorf("got %v, %q, %v", got, reason, err)
		}
		if n, err := broker.LastSequence(ctx, js, "READINGS", "readings.>"); err != nil || n != 1 {
			t.Errorf("last sequence %d, %v", n, err)
		}
		b, err := broker.Pending(ctx, js, "READINGS", "", 0)
		if err != nil || b.Messages != 1 || b.Sequence != 1 || !b.Oldest.Equal(pos.Received) {
			t.Errorf("pending %+v, %v", b, err)
		}
	})

	t.Run("NeedsItsStreams", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		_, _, err := broker.Verify(testContext(t), js, broker.Position{Stream: "NONE"})
		if !errors.Is(err, broker.ErrStreamMissing) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPending(t *testing.T) {
	t.Parallel()
	js, _ := provisioned(t)
	ctx := testContext(t)
	for _, subject := range []string{"bronze.1", "bronze.>", ""} {
		if b, err := broker.Pending(ctx, js, "BRONZE", subject, 0); err != nil || b != (broker.Backlog{}) {
			t.Errorf("%q in an empty stream: %+v, %v", subject, b, err)
		}
	}
	if n, err := broker.LastSequence(ctx, js, "BRONZE", "bronze.1"); err != nil || n != 0 {
		t.Errorf("last sequence of nothing: %d, %v", n, err)
	}
	var msgs []*nats.Msg
	for n := range 100 {
		msgs = append(msgs, numbered(broker.BronzeSubject(n%4), n, n, 10)...)
	}
	publish(t, js, msgs) // subject p has sequences p+1, p+5, …
	for _, c := range []struct {
		subject string
		after   uint64
		want    uint64
		first   uint64
	}{
		{"bronze.1", 0, 25, 2}, {"bronze.1", 1, 25, 2}, {"bronze.1", 2, 24, 6}, {"bronze.1", 97, 1, 98},
		{"bronze.1", 98, 0, 0}, {"bronze.1", 500, 0, 0}, {"bronze.*", 40, 60, 41}, {"", 99, 1, 100},
	} {
		b, err := broker.Pending(ctx, js, "BRONZE", c.subject, c.after)
		if err != nil || b.Messages != c.want || b.Sequence != c.first {
			t.Errorf("%q after %d: %+v, %v, want %d from %d", c.subject, c.after, b, err, c.want, c.first)
		}
		if c.want > 0 && b.Age(b.Oldest.Add(time.Second)) != time.Second || c.want == 0 && !b.Oldest.IsZero() {
			t.Errorf("%q after %d: the oldest is of %v", c.subject, c.after, b.Oldest)
		}
	}
	if n, err := broker.LastSequence(ctx, js, "BRONZE", "bronze.1"); err != nil || n != 98 {
		t.Errorf("last sequence %d, %v", n, err)
	}
	statuses, err := broker.StreamStatuses(ctx, js)
	if err != nil || len(statuses) != 5 || statuses[1].Name != "BRONZE" || statuses[1].LastSequence != 100 ||
		statuses[1].Messages != 100 || statuses[1].Bytes == 0 || statuses[0].Bytes != 0 {
		t.Errorf("statuses %+v, %v", statuses, err)
	}
}
