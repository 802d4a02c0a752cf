package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
)

// Work that stopped and was started again is well once it says so, whatever its
// component is called.
func TestWorkThatIsStartedAgainIsWell(t *testing.T) {
	t.Parallel()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(t.Context(), js, broker.Topology{
		Partitions: 1, IngressShards: 1, Replicas: 1, LeaseTTL: time.Second,
	}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []shared{{"", "one", 1, only("one")}, {"", "some", 1, of("some")}, {"group", "other", 1, only("x")}} {
		p := &Platform{instance: "test", log: slog.New(slog.DiscardHandler), health: health.New("test", nil)}
		if p.leases, err = broker.OpenLeases(t.Context(), js); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		calls := 0
		var before, after health.Status
		err := p.share(ctx, s, func(ctx context.Context, slot int) error {
			if calls++; calls == 1 {
				return errors.New("it does not work yet")
			}
			before = p.health.Status(ctx)
			p.health.Report(s.component(slot), nil)
			after = p.health.Status(ctx)
			stop()
			<-ctx.Done()
			return nil
		})
		stop()
		if err != nil {
			t.Fatal(err)
		}
		if before.State == health.OK || after.State != health.OK {
			t.Errorf("%s: before it says that it is well %+v, then %+v", s.stage, before, after)
		}
	}
}
