package broker_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

// mustNext reads one message.
func mustNext(tb testing.TB, ctx context.Context, r *broker.Reader) broker.Message {
	tb.Helper()
	m, err := r.Next(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestReader(t *testing.T) {
	t.Parallel()

	t.Run("DeliversOneSubjectInOrderFromAPosition", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		var msgs []*nats.Msg
		for i, m := range numbered("", 1, 300, 100) {
			m.Subject = broker.BronzeSubject(i % 3)
			m.Header = nats.Header{"Trace": {"x"}}
			msgs = append(msgs, m)
		}
		acks := publish(t, js, msgs)
		ctx := testContext(t)
		r := reader(t, js, broker.ReaderConfig{Stream: "BRONZE", FilterSubject: "bronze.1", From: acks[100].Sequence})
		for n := 104; n <= 299; n += 3 {
			m := mustNext(t, ctx, r)
			if number(t, m.Data) != n || m.Sequence != acks[n-1].Sequence || m.Subject != "bronze.1" {
				t.Fatalf("message %d is %s %d %.10q", n, m.Subject, m.Sequence, m.Data)
			}
			if m.Header.Get("Trace") != "x" || time.Since(m.Received) > testDeadline || m.Pending != uint64(299-n)/3 {
				t.Fatalf("message %d: header %v, received %v, pending %d", n, m.Header, m.Received, m.Pending)
			}
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if m, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("at the end: %v, %v", m, err)
		}
		publish(t, js, numbered("bronze.1", 301, 301, 0))
		if m := mustNext(t, ctx, r); number(t, m.Data) != 301 {
			t.Errorf("after the end: %.10q", m.Data)
		}
	})

	t.Run("TakesAMessageThatLooksLikeAStatus", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		var msgs []*nats.Msg
		for _, status := range []string{"100", "404", "408", "409", "503"} {
			msgs = append(msgs, &nats.Msg{Subject: "readings.x", Header: nats.Header{"Status": {status},
				"Nats-Pending-Bytes": {"7"}, "Nats-Last-Consumer": {"99"}}})
		}
		publish(t, js, msgs)
		r := reader(t, js, broker.ReaderConfig{Stream: "READINGS"})
		for _, want := range msgs {
			m := mustNext(t, testContext(t), r)
			if len(m.Data) != 0 || m.Header.Get("Status") != want.Header.Get("Status") {
				t.Fatalf("got %v", m)
			}
		}
	})

	// The bound in bytes: small and large messages, larger than the bound too.
	t.Run("IsExactWhateverTheSizes", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		rng := rand.New(rand.NewPCG(1, 2))
		var msgs []*nats.Msg
		for range 3000 {
			size := rng.IntN(400)
			switch rng.IntN(40) {
			case 0:
				size = rng.IntN(3 << 14)
			case 1:
				size = 1 << 16
			}
			m := numbered("readings.x", len(msgs), len(msgs), size)[0]
			if size%3 == 0 {
				m.Header = nats.Header{"Some-Header": {"value"}}
			}
			msgs = append(msgs, m)
		}
		publish(t, js, msgs)
		r := reader(t, js, broker.ReaderConfig{Stream: "READINGS", PullBytes: 16 << 10})
		ctx := testContext(t)
		for n, want := range msgs {
			m := mustNext(t, ctx, r)
			if m.Sequence != uint64(n+1) || !bytes.Equal(m.Data, want.Data) {
				t.Fatalf("message %d has sequence %d", n, m.Sequence)
			}
		}
	})

	t.Run("FailsOnWhatNoWaitingMends", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		publish(t, js, numbered("readings.x", 1, 3, 0))
		open := func(cfg broker.ReaderConfig) error {
			r, err := broker.OpenReader(ctx, js, cfg)
			if err == nil {
				r.Close()
			}
			return err
		}
		if err := open(broker.ReaderConfig{Stream: "NONE"}); !errors.Is(err, broker.ErrStreamMissing) {
			t.Errorf("missing: %v", err)
		}
		if err := open(broker.ReaderConfig{Stream: "READINGS", From: 4}); !errors.Is(err, broker.ErrBeyondEnd) {
			t.Errorf("beyond: %v", err)
		}
		if err := open(broker.ReaderConfig{Stream: "READINGS", From: 3}); err != nil {
			t.Errorf("at the end: %v", err)
		}
		err := open(broker.ReaderConfig{Stream: "READINGS", Created: time.Unix(1, 0)})
		if !errors.Is(err, broker.ErrStreamRecreated) {
			t.Errorf("recreated: %v", err)
		}
	})

	t.Run("NoticesThatTheStreamWentAwayWhileItReads", func(t *testing.T) {
		t.Parallel()
		for _, again := range []bool{false, true} {
			js, _ := provisioned(t)
			ctx := testContext(t)
			publish(t, js, numbered("readings.x", 1, 3, 0))
			r := reader(t, js, broker.ReaderConfig{Stream: "READINGS"})
			for range 3 {
				mustNext(t, ctx, r)
			}
			if err := js.DeleteStream(ctx, "READINGS"); err != nil {
				t.Fatal(err)
			}
			want := broker.ErrStreamMissing
			if again {
				want = broker.ErrStreamRecreated
				if err := broker.Provision(ctx, js, smallTopology()); err != nil {
					t.Fatal(err)
				}
				publish(t, js, numbered("readings.x", 1, 5, 0))
			}
			if m, err := r.Next(ctx); !errors.Is(err, want) {
				t.Errorf("got %v, %v, want %v", m, err, want)
			}
		}
	})

	t.Run("OutlivesItsConsumer", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		r := reader(t, js, broker.ReaderConfig{Stream: "READINGS"})
		for n := range 5 {
			s, err := js.Stream(ctx, "READINGS")
			if err != nil {
				t.Fatal(err)
			}
			for name := range s.ConsumerNames(ctx).Name() {
				if err := s.DeleteConsumer(ctx, name); err != nil {
					t.Fatal(err)
				}
			}
			publish(t, js, numbered("readings.x", n, n, 0))
			if m := mustNext(t, ctx, r); number(t, m.Data) != n {
				t.Fatalf("message %d is %.10q", n, m.Data)
			}
		}
	})

	t.Run("LeavesNoConsumerBehind", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		r := reader(t, js, broker.ReaderConfig{Stream: "READINGS"})
		r.Close()
		if _, err := r.Next(ctx); !errors.Is(err, broker.ErrReaderClosed) {
			t.Errorf("after close: %v", err)
		}
		eventually(t, "no consumer", func() bool {
			s, err := js.Stream(ctx, "READINGS")
			return err == nil && s.CachedInfo().State.Consumers == 0
		})
	})
}

// TestReaderAcrossRestarts writes while the broker is restarted again and again:
// every confirmed message arrives, none twice, in order.
func TestReaderAcrossRestarts(t *testing.T) {
	t.Parallel()
	const total, restarts = 20_000, 4
	server := newRestartable(t)
	writeJS, readJS := connect(t, server.URL()), connect(t, server.URL())
	if err := broker.Provision(testContext(t), writeJS, smallTopology()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	restart := make(chan struct{})
	served := make(chan struct{})
	go func() {
		defer close(served)
		for range restart {
			server.stop()
			server.start()
		}
	}()
	written := make(chan error, 1)
	go func() { written <- writeAll(ctx, publisher(t, writeJS), total) }()

	r := reader(t, readJS, broker.ReaderConfig{Stream: "BRONZE", FilterSubject: "bronze.0", PullBytes: 64 << 10})
	var last, lastSequence, restarted = 0, uint64(0), 0
	for last < total {
		b, err := r.NextBatch(ctx, broker.BatchLimits{Bytes: 32 << 10, Linger: time.Millisecond})
		if err != nil {
			t.Fatalf("after %d: %v", last, err)
		}
		for _, m := range b.Messages {
			// A retry of the writer stores again what was stored unconfirmed, so
			// numbers may go back; nobody else writes, so sequences have no gap.
			n := number(t, m.Data)
			if n > last+1 || m.Sequence != lastSequence+1 {
				t.Fatalf("message %d with sequence %d comes after %d with %d", n, m.Sequence, last, lastSequence)
			}
			last, lastSequence = n, m.Sequence
		}
		if restarted < restarts && last > total*(restarted+1)/(restarts+2) {
			restarted++
			restart <- struct{}{}
		}
	}
	close(restart)
	<-served
	if err := <-written; err != nil {
		t.Error(err)
	}
	checkAgainstStore(t, connect(t, server.URL()), lastSequence)
}

// writeAll publishes numbered messages in chunks, each until it is confirmed. A
// chunk stays in order: only its first failure matters, what came behind it is
// published again.
func writeAll(ctx context.Context, p *broker.Publisher, total int) error {
	backoff := broker.Backoff{Min: 5 * time.Millisecond, Max: 100 * time.Millisecond}
	for first := 1; first <= total; {
		msgs := numbered("bronze.0", first, min(first+199, total), 120)
		acks, err := p.PublishAll(ctx, msgs)
		for _, ack := range acks {
			if ack.Sequence == 0 {
				break
			}
			first++
		}
		if err == nil {
			continue
		}
		if !broker.IsRetryable(err) {
			return err
		}
		if err := backoff.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkAgainstStore compares with an independent reading, nats.go's own.
func checkAgainstStore(tb testing.TB, js jetstream.JetStream, last uint64) {
	tb.Helper()
	s, err := js.Stream(testContext(tb), "BRONZE")
	if err != nil {
		tb.Fatal(err)
	}
	if state := s.CachedInfo().State; state.LastSeq < last || state.NumDeleted != 0 || state.FirstSeq != 1 {
		tb.Errorf("stream has %+v, the reader got to %d", state, last)
	}
}
