package query

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// heard is a caller that takes whatever it is sent.
type heard struct {
	grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse]
	ctx context.Context //nolint:containedctx // a stream has one
}

func (h heard) Context() context.Context                     { return h.ctx }
func (h heard) Send(*energyv1.WatchAggregatesResponse) error { return nil }

// TestAWatchOfAServerThatStopsIsToGoOnElsewhere calls a server that is stopping: however
// far the watch has come by then, its caller is told to watch again.
func TestAWatchOfAServerThatStopsIsToGoOnElsewhere(t *testing.T) {
	t.Parallel()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(t.Context(), js, broker.DefaultTopology()); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	s := NewServer(stopped, nil, nil, Pipeline{JetStream: js}, time.Minute)
	for range 20 {
		err := s.WatchAggregates(&energyv1.WatchAggregatesRequest{
			Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(15 * time.Minute)}},
		}, heard{ctx: t.Context()})
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("the watch ends with %v", err)
		}
	}
}
