package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/broker"
)

// fillBronze stores n messages of size bytes, on two partitions in turn.
func fillBronze(tb testing.TB, js jetstream.JetStream, n, size int) {
	tb.Helper()
	for i := range n {
		if _, err := js.Publish(testContext(tb), broker.BronzeSubject(i%2), make([]byte, size)); err != nil {
			tb.Fatal(err)
		}
	}
}

func sweep(tb testing.TB, js jetstream.JetStream, keep broker.Keep, marks ...broker.ReadMark) broker.Swept {
	tb.Helper()
	s, err := broker.NewSweeper(js).Sweep(testContext(tb), broker.StreamBronze, marks, keep)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestSweep(t *testing.T) {
	t.Parallel()

	t.Run("RemovesWhatAllHaveReadAndIsOld", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		fillBronze(t, js, 10, 100)
		s := sweep(t, js, broker.Keep{},
			broker.ReadMark{Reader: "silver.0", Subject: broker.BronzeSubject(0), Sequence: 7},
			broker.ReadMark{Reader: "silver.1", Subject: broker.BronzeSubject(1), Sequence: 4})
		if s.FirstSequence != 6 || s.Removed != 5 || s.Unread != 6 || s.Holder != "silver.1" {
			t.Errorf("after sweeping: %+v", s)
		}
	})

	// The position of a partition that nothing comes for stays far behind.
	t.Run("IsNotHeldByWhoHasNothingToRead", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		fillBronze(t, js, 10, 100)
		s := sweep(t, js, broker.Keep{},
			broker.ReadMark{Reader: "silver.0", Subject: broker.BronzeSubject(0), Sequence: 10},
			broker.ReadMark{Reader: "silver.2", Subject: broker.BronzeSubject(2), Sequence: 0},
			broker.ReadMark{Reader: "rejudge", Subject: broker.BronzeSubject(1), Sequence: 2, Until: 3})
		if s.FirstSequence != 10 || s.Messages != 1 || s.Holder != "" {
			t.Errorf("after sweeping: %+v", s)
		}
	})

	// What became of what was read may be lost with the broker's machine. It is kept, and
	// not said to be unread.
	t.Run("KeepsWhatIsNotSettled", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		fillBronze(t, js, 10, 100)
		s := sweep(t, js, broker.Keep{}, broker.ReadMark{Reader: "silver.0", Sequence: 10},
			broker.ReadMark{Reader: "silver.0", Sequence: 6, Settled: true})
		if s.FirstSequence != 7 || s.Unread != 0 || s.Holder != "" {
			t.Errorf("after sweeping: %+v", s)
		}
	})

	// The broker was away since the marks were read, and may be another.
	t.Run("BelievesNoMarksOfAnotherConnection", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		fillBronze(t, js, 10, 100)
		w := broker.NewSweeper(js)
		reconnected := js.Conn().StatusChanged(nats.CONNECTED)
		if err := js.Conn().ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		<-reconnected
		marks := []broker.ReadMark{{Reader: "all", Sequence: 10}}
		if s, err := w.Sweep(testContext(t), broker.StreamBronze, marks, broker.Keep{}); err == nil || s.Removed != 0 {
			t.Errorf("swept %d messages, %v", s.Removed, err)
		}
		if s, err := broker.NewSweeper(js).Sweep(testContext(t), broker.StreamBronze, marks, broker.Keep{}); err != nil ||
			s.Removed != 9 {
			t.Errorf("swept %d messages, %v", s.Removed, err)
		}
	})

	// The stream lost its tail and has grown again: what has the sequences that were
	// read was not.
	t.Run("BelievesNoPositionOfATailThatIsLost", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		fillBronze(t, js, 10, 100)
		for name, m := range map[string]broker.ReadMark{
			"another message": {Sequence: 9, Received: time.Unix(1, 0)}, "no message yet": {Sequence: 11},
		} {
			m.Reader = name
			if s := sweep(t, js, broker.Keep{}, m); s.Messages != 10 || s.Unread != 1 || s.Holder != name {
				t.Errorf("%s: %+v", name, s)
			}
		}
		ninth, err := broker.Get(testContext(t), js, broker.StreamBronze, 9)
		if err != nil {
			t.Fatal(err)
		}
		if s := sweep(t, js, broker.Keep{}, broker.ReadMark{Sequence: 9, Received: ninth.Received}); s.FirstSequence != 10 {
			t.Errorf("of the stream as it is: %+v", s)
		}
	})

	t.Run("KeepsWhatIsYoung", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		fillBronze(t, js, 10, 100)
		all := broker.ReadMark{Reader: "all", Sequence: 10}
		if s := sweep(t, js, broker.Keep{Age: time.Hour}, all); s.Messages != 10 || s.Removed != 0 {
			t.Errorf("after sweeping: %+v", s)
		}
		middle, err := broker.Get(testContext(t), js, broker.StreamBronze, 5)
		if err != nil {
			t.Fatal(err)
		}
		// Its age now is a little more when the sweep looks.
		if s := sweep(t, js, broker.Keep{Age: time.Since(middle.Received)}, all); s.FirstSequence < 5 {
			t.Errorf("after sweeping: %+v", s)
		}
	})

	t.Run("KeepsLessOfWhatWasReadWhereThereIsNoRoom", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		limitBronze(t, js, 100<<10)
		fillBronze(t, js, 80, 1<<10)
		keep := broker.Keep{Age: time.Hour, Shrink: 0.75, Ease: 0.5}
		s := sweep(t, js, keep, broker.ReadMark{Reader: "all", Sequence: 80})
		if !s.Shrunk || s.Fill() > 0.75 || s.Fill() < 0.4 {
			t.Errorf("after shrinking %.2f is full: %+v", s.Fill(), s)
		}
		fillBronze(t, js, 40, 1<<10)
		before := s.FirstSequence + 3
		s = sweep(t, js, keep, broker.ReadMark{Reader: "slow", Sequence: before - 1})
		if s.FirstSequence != before || s.Holder != "slow" {
			t.Errorf("what is unread is to be kept and no more: %+v", s)
		}
	})

	t.Run("LeavesAStreamWithoutReadersAlone", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		fillBronze(t, js, 3, 10)
		if s := sweep(t, js, broker.Keep{}); s.Messages != 3 {
			t.Errorf("after sweeping: %+v", s)
		}
	})

	// A position holds where its message, and all that it rests on, are gone.
	t.Run("PositionsHold", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		fillBronze(t, js, 10, 100)
		at := broker.Position{Stream: broker.StreamBronze}.Onto(broker.StreamBronze)
		at, _, err := broker.Verify(ctx, js, at)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := broker.Get(ctx, js, broker.StreamBronze, 4)
		if err != nil {
			t.Fatal(err)
		}
		at.Advance(broker.Message{Sequence: 4, Received: stored.Received})
		at.Outputs[0].Sequence, at.Outputs[0].Sum = 3, 12345
		sweep(t, js, broker.Keep{}, broker.ReadMark{Reader: "all", Sequence: 10})
		if _, reason, err := broker.Verify(ctx, js, at); err != nil || reason != "" {
			t.Errorf("verify: %q, %v", reason, err)
		}
		r, err := broker.OpenReader(ctx, js, broker.ReaderConfig{
			Stream: broker.StreamBronze, From: at.Sequence, Created: at.Created, Received: at.Received,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if m, err := r.Next(ctx); err != nil || m.Sequence != 10 {
			t.Errorf("next is %d, %v", m.Sequence, err)
		}
	})
}

func limitBronze(tb testing.TB, js jetstream.JetStream, bytes int64) {
	tb.Helper()
	stream, err := js.Stream(testContext(tb), broker.StreamBronze)
	if err != nil {
		tb.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = bytes
	if _, err := js.UpdateStream(testContext(tb), config); err != nil {
		tb.Fatal(err)
	}
}

// TestSweepKeepsWhatIsUnread sweeps at random times with random settings while readers
// read at random, and compares with a list what each of them still finds (invariant 19).
func TestSweepKeepsWhatIsUnread(t *testing.T) {
	t.Parallel()
	js, _ := provisioned(t)
	limitBronze(t, js, 16<<10)
	stored := map[string][]uint64{} // by subject
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		status, err := broker.Stream(ctx, js, broker.StreamBronze)
		if err != nil {
			t.Fatal(err)
		}
		marks := []broker.ReadMark{
			{Reader: "a", Subject: broker.BronzeSubject(0), Sequence: status.LastSequence},
			{Reader: "b", Subject: broker.BronzeSubject(1), Sequence: status.LastSequence},
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch p := rapid.IntRange(0, 1).Draw(t, "partition"); rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				m := &nats.Msg{Subject: broker.BronzeSubject(p), Data: make([]byte, rapid.IntRange(1, 2000).Draw(t, "size"))}
				ack, err := js.PublishMsg(ctx, m)
				if err == nil {
					stored[m.Subject] = append(stored[m.Subject], ack.Sequence)
				} else if api, ok := errors.AsType[*jetstream.APIError](err); !ok {
					t.Fatal(api, err)
				}
			case 1:
				if list := stored[marks[p].Subject]; len(list) > 0 {
					marks[p].Sequence = max(marks[p].Sequence, rapid.SampledFrom(list).Draw(t, "read"))
				}
			default:
				keep := broker.Keep{
					Age:    time.Duration(rapid.IntRange(0, 20).Draw(t, "age")) * time.Millisecond,
					Shrink: rapid.Float64Range(0.01, 1).Draw(t, "shrink"),
				}
				keep.Ease = keep.Shrink * rapid.Float64Range(0, 1).Draw(t, "ease")
				if _, err := broker.NewSweeper(js).Sweep(ctx, broker.StreamBronze, marks, keep); err != nil {
					t.Fatal(err)
				}
			}
			for _, m := range marks {
				if err := holds(ctx, js, stored[m.Subject], m); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// holds says which of what a reader has not read the stream no longer holds.
func holds(ctx context.Context, js jetstream.JetStream, stored []uint64, m broker.ReadMark) error {
	for i := len(stored) - 1; i >= 0 && stored[i] > m.Sequence; i-- {
		if _, err := broker.Get(ctx, js, broker.StreamBronze, stored[i]); err != nil {
			return fmt.Errorf("%s has read up to %d: %w", m.Reader, m.Sequence, err)
		}
	}
	return nil
}
