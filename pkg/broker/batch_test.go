package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
)

func TestReaderNextBatch(t *testing.T) {
	t.Parallel()
	const large = 64 << 10

	t.Run("IsBoundedByBytes", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		publish(t, js, numbered("bronze.0", 1, 100, large))
		r := reader(t, js, broker.ReaderConfig{Stream: "BRONZE", PullBytes: 256 << 10})
		next := 1
		for next <= 100 {
			b, err := r.NextBatch(ctx, broker.BatchLimits{Bytes: 200 << 10, Linger: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Messages) != min(3, 101-next) || b.Bytes > 200<<10 {
				t.Fatalf("from %d: %d messages of %d bytes", next, len(b.Messages), b.Bytes)
			}
			for _, m := range b.Messages {
				if number(t, m.Data) != next {
					t.Fatalf("message %d is %.10q", next, m.Data)
				}
				next++
			}
			if b.First != b.Messages[0].Sequence || b.Last != uint64(next-1) {
				t.Fatalf("batch of %d to %d says %d to %d", b.Messages[0].Sequence, next-1, b.First, b.Last)
			}
		}
	})

	t.Run("ReturnsAMessageLargerThanItsBoundAlone", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		publish(t, js, numbered("bronze.0", 1, 2, large))
		r := reader(t, js, broker.ReaderConfig{Stream: "BRONZE"})
		b, err := r.NextBatch(testContext(t), broker.BatchLimits{Bytes: 10, Linger: time.Minute})
		if err != nil || len(b.Messages) != 1 || b.Bytes < large {
			t.Fatalf("got %v, %v", b, err)
		}
	})

	t.Run("IsBoundedByMessagesAndLinger", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		publish(t, js, numbered("bronze.0", 1, 7, 10))
		r := reader(t, js, broker.ReaderConfig{Stream: "BRONZE"})
		for _, want := range []int{5, 2} {
			b, err := r.NextBatch(ctx, broker.BatchLimits{Messages: 5, Linger: 50 * time.Millisecond})
			if err != nil || len(b.Messages) != want {
				t.Fatalf("got %v, %v, want %d messages", b, err, want)
			}
		}
	})

	t.Run("LingersFromTheFirstMessageOn", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		r := reader(t, js, broker.ReaderConfig{Stream: "BRONZE"})
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		b, err := r.NextBatch(short, broker.BatchLimits{Linger: time.Millisecond})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("without a message: %v, %v", b, err)
		}
	})

	t.Run("EndsWhenTheBudgetRefusesAndLosesNothing", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		publish(t, js, numbered("bronze.0", 1, 6, large))
		budget := broker.NewBudget(2*large + 1000)
		r := reader(t, js, broker.ReaderConfig{Stream: "BRONZE", Budget: budget})
		limits := broker.BatchLimits{Linger: 10 * time.Second}
		a, err := r.NextBatch(ctx, limits)
		if err != nil || len(a.Messages) != 2 {
			t.Fatalf("first batch %v, %v", a, err)
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if b, err := r.NextBatch(short, limits); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("with nothing released: %v, %v", b, err)
		}
		a.Release()
		a.Release()
		b, err := r.NextBatch(ctx, limits)
		if err != nil || len(b.Messages) != 2 || number(t, b.Messages[0].Data) != 3 || b.Last != 4 {
			t.Fatalf("second batch %v, %v", b, err)
		}
		b.Release()
		if !budget.TryAcquire(2*large + 1000) {
			t.Error("the budget is not whole again")
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()

	t.Run("LetsWhatIsLargerThanAllOfItThroughAlone", func(t *testing.T) {
		t.Parallel()
		b := broker.NewBudget(100)
		if !b.TryAcquire(1) || b.TryAcquire(1000) {
			t.Error("a large request went through beside another")
		}
		b.Release(1)
		if err := b.Acquire(testContext(t), 1000); err != nil {
			t.Fatal(err)
		}
		if b.TryAcquire(1) {
			t.Error("another went through beside a large request")
		}
		b.Release(1000)
		if !b.TryAcquire(100) {
			t.Error("not all came back")
		}
	})

	t.Run("WaitsForARelease", func(t *testing.T) {
		t.Parallel()
		b := broker.NewBudget(10)
		if !b.TryAcquire(10) {
			t.Fatal("refused")
		}
		got := make(chan error, 1)
		go func() { got <- b.Acquire(testContext(t), 5) }()
		b.Release(10)
		if err := <-got; err != nil {
			t.Error(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Acquire(ended, 6); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := broker.Backoff{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond}
	for _, ms := range []int{10, 20, 40, 50, 50, 50} {
		whole := time.Duration(ms) * time.Millisecond
		if d := b.Next(); d < whole/2 || d > whole {
			t.Errorf("delay %v, want within %v and %v", d, whole/2, whole)
		}
	}
	b.Reset()
	if d := b.Next(); d > 10*time.Millisecond {
		t.Errorf("after reset %v", d)
	}
	for range 100 {
		if d := (&broker.Backoff{}).Next(); d < 50*time.Millisecond || d > 100*time.Millisecond {
			t.Fatalf("zero value begins with %v", d)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&broker.Backoff{Min: time.Hour, Max: time.Hour}).Wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
