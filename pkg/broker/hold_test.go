package broker_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

func behind(tb testing.TB, js jetstream.JetStream, stream string, sequences ...uint64) (all []broker.Position) {
	tb.Helper()
	s, err := broker.Stream(testContext(tb), js, stream)
	if err != nil {
		tb.Fatal(err)
	}
	for _, sequence := range sequences {
		all = append(all, broker.Position{Stream: stream, Created: s.Created, Sequence: sequence})
	}
	return all
}

func held(tb testing.TB, p *broker.Positions) map[string]uint64 {
	tb.Helper()
	all, err := p.List(testContext(tb))
	if err != nil {
		tb.Fatal(err)
	}
	sequences := make(map[string]uint64)
	for key, at := range all {
		if at.Expires.IsZero() {
			tb.Errorf("%s is held for ever: %+v", key, at)
		}
		sequences[key] = at.Sequence
	}
	return sequences
}

// TestHolding proves invariant 19.
func TestHolding(t *testing.T) {
	t.Parallel()

	t.Run("LastsWhileItIsNeeded", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p := positions(t, js)
		fillBronze(t, js, 10, 10)
		h := broker.Hold{Reader: "batch.7", Behind: slices.Concat(
			behind(t, js, broker.StreamBronze, 5, 3, 4), behind(t, js, broker.StreamSilver, 0))}
		err := p.Holding(testContext(t), h, func(context.Context) error {
			want := map[string]uint64{"hold-batch.7.BRONZE": 3, "hold-batch.7.SILVER": 0}
			if diff := cmp.Diff(want, held(t, p)); diff != "" {
				t.Errorf("held (-want +got):\n%s", diff)
			}
			return nil
		})
		if got := held(t, p); err != nil || len(got) != 0 {
			t.Errorf("afterwards %v, %v", got, err)
		}
	})

	t.Run("IsRenewed", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p := positions(t, js)
		h := broker.Hold{Reader: "batch", Behind: behind(t, js, broker.StreamBronze, 0), TTL: 10 * time.Second}
		err := p.Holding(testContext(t), h, func(ctx context.Context) error {
			kv, err := js.KeyValue(ctx, broker.BucketPositions)
			if err != nil {
				return err
			}
			w, err := kv.Watch(ctx, "hold-batch.BRONZE", jetstream.IgnoreDeletes())
			if err != nil {
				return err
			}
			for stored := 0; stored < 2; {
				if <-w.Updates() != nil { // nil is between what was there and what comes
					stored++
				}
			}
			return w.Stop()
		})
		if err != nil {
			t.Error(err)
		}
	})

	// A reader that failed, or died, may be taken up again: what it needs is kept
	// meanwhile, but not for ever.
	t.Run("OutlivesAFailureUntilItExpires", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p, failed := positions(t, js), errors.New("no disk")
		hold := func(reader string, ttl time.Duration, err error) error {
			h := broker.Hold{Reader: reader, Behind: behind(t, js, broker.StreamBronze, 0), TTL: ttl}
			return p.Holding(testContext(t), h, func(context.Context) error { return err })
		}
		if err := hold("a", time.Hour, failed); !errors.Is(err, failed) {
			t.Error(err)
		}
		if err := hold("b", time.Nanosecond*10, failed); !errors.Is(err, failed) {
			t.Error(err)
		}
		if err := hold("c", 0, nil); err != nil { // drops what is expired
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"hold-a.BRONZE"}, slices.Sorted(maps.Keys(held(t, p)))); diff != "" {
			t.Errorf("held (-want +got):\n%s", diff)
		}
		if err := hold("a", time.Hour, nil); err != nil || len(held(t, p)) != 0 {
			t.Errorf("taken up again: %v, %v", err, held(t, p))
		}
	})

	// A reader that cannot be taken up again needs nothing.
	t.Run("EndsWhenItIsOfNoUse", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p, hopeless := positions(t, js), errors.New("another epoch")
		h := broker.Hold{
			Reader: "batch", Behind: behind(t, js, broker.StreamBronze, 0),
			Again: func(err error) bool { return !errors.Is(err, hopeless) },
		}
		fail := func(err error) error {
			return p.Holding(testContext(t), h, func(context.Context) error { return err })
		}
		if err := fail(hopeless); !errors.Is(err, hopeless) || len(held(t, p)) != 0 {
			t.Errorf("%v, held are %v", err, held(t, p))
		}
		if err := fail(context.Canceled); !errors.Is(err, context.Canceled) || len(held(t, p)) != 1 {
			t.Errorf("%v, held are %v", err, held(t, p))
		}
		if err := p.LetGo(testContext(t), h); err != nil || len(held(t, p)) != 0 {
			t.Errorf("let go: %v, held are %v", err, held(t, p))
		}
	})

	t.Run("SaysWhatIsGone", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p, ctx := positions(t, js), testContext(t)
		fillBronze(t, js, 10, 10)
		purge := func(context.Context) error {
			s, err := js.Stream(ctx, broker.StreamBronze)
			if err == nil {
				err = s.Purge(ctx, jetstream.WithPurgeSequence(6))
			}
			return err
		}
		h := broker.Hold{Reader: "batch", Behind: behind(t, js, broker.StreamBronze, 4)}
		if err := p.Holding(ctx, h, purge); !errors.Is(err, broker.ErrRemoved) {
			t.Errorf("removed meanwhile: %v", err)
		}
		never := func(context.Context) error {
			t.Error("was begun")
			return nil
		}
		if err := p.Holding(ctx, h, never); !errors.Is(err, broker.ErrRemoved) {
			t.Errorf("removed before: %v", err)
		}
		h.Behind = behind(t, js, broker.StreamBronze, 5)
		h.Behind[0].Created = h.Behind[0].Created.Add(-time.Hour)
		if err := p.Holding(ctx, h, never); !errors.Is(err, broker.ErrStreamRecreated) {
			t.Errorf("another stream: %v", err)
		}
		if left := held(t, p); len(left) != 0 { // whatever was begun cannot be gone on with
			t.Errorf("held are %v", left)
		}
		h.Reader = "not a key"
		if err := p.Holding(ctx, h, never); !errors.Is(err, jetstream.ErrInvalidKey) {
			t.Errorf("another stream: %v", err)
		}
	})
}
