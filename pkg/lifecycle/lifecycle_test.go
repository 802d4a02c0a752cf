package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/energy-platform/energy/pkg/lifecycle"
)

func TestDrainOutlivesItsContextByTheGracePeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		work, cancel := lifecycle.Drain(ctx, time.Minute)
		defer cancel()
		stop()
		began := time.Now()
		<-work.Done()
		if lasted := time.Since(began); lasted != time.Minute {
			t.Errorf("work ended after %s", lasted)
		}
	})
}

func TestDrainEndsEarlyWithoutLeaking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		work, cancel := lifecycle.Drain(ctx, time.Minute)
		stop()
		cancel()
		if work.Err() == nil {
			t.Error("work goes on")
		}
	})
}

func TestAllEndsTheOthersOnTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	err := lifecycle.All(t.Context(),
		func(context.Context) error { return broken },
		func(ctx context.Context) error { <-ctx.Done(); return nil },
	)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
