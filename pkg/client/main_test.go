package client_test

import (
	"context"
	"iter"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/energy-platform/energy/pkg/client"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = time.Minute

func patient(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
	tb.Cleanup(cancel)
	return ctx
}

// canned answers what it is told to.
type canned struct {
	energyv1.UnimplementedQueryServiceServer
	energyv1.UnimplementedRegistryServiceServer

	series     func(*energyv1.ListSeriesRequest, grpc.ServerStreamingServer[energyv1.ListSeriesResponse]) error
	latest     []*energyv1.GetLatestResponse
	aggregates func(*energyv1.QueryAggregatesRequest) ([]*energyv1.QueryAggregatesResponse, error)
	watch      func(*energyv1.WatchAggregatesRequest, grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse]) error
	explain    func(*energyv1.ExplainAggregateRequest) ([]*energyv1.ExplainAggregateResponse, error)
	status     func(context.Context) (*energyv1.GetPipelineStatusResponse, error)
	entities   func(*energyv1.ListEntitiesRequest) ([]*energyv1.ListEntitiesResponse, error)
}

func send[M any](to grpc.ServerStreamingServer[M], all []*M, err error) error {
	for _, m := range all {
		if err := to.Send(m); err != nil {
			return err
		}
	}
	return err
}

func (c *canned) ListSeries(
	req *energyv1.ListSeriesRequest, to grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
) error {
	return c.series(req, to)
}

func (c *canned) GetLatest(
	_ *energyv1.GetLatestRequest, to grpc.ServerStreamingServer[energyv1.GetLatestResponse],
) error {
	return send(to, c.latest, nil)
}

func (c *canned) QueryAggregates(
	req *energyv1.QueryAggregatesRequest, to grpc.ServerStreamingServer[energyv1.QueryAggregatesResponse],
) error {
	all, err := c.aggregates(req)
	return send(to, all, err)
}

func (c *canned) WatchAggregates(
	req *energyv1.WatchAggregatesRequest, to grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse],
) error {
	return c.watch(req, to)
}

func (c *canned) ExplainAggregate(
	req *energyv1.ExplainAggregateRequest, to grpc.ServerStreamingServer[energyv1.ExplainAggregateResponse],
) error {
	all, err := c.explain(req)
	return send(to, all, err)
}

func (c *canned) GetPipelineStatus(
	ctx context.Context, _ *energyv1.GetPipelineStatusRequest,
) (*energyv1.GetPipelineStatusResponse, error) {
	return c.status(ctx)
}

func (c *canned) ListEntities(
	req *energyv1.ListEntitiesRequest, to grpc.ServerStreamingServer[energyv1.ListEntitiesResponse],
) error {
	all, err := c.entities(req)
	return send(to, all, err)
}

// serve serves on this machine until stop.
func (c *canned) serve(ctx context.Context, o ...grpc.ServerOption) (address string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := grpc.NewServer(o...)
	energyv1.RegisterQueryServiceServer(server, c)
	energyv1.RegisterRegistryServiceServer(server, c)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return listener.Addr().String(), func() { server.Stop(); <-ended }, nil
}

// dial returns a client of the canned answers.
func (c *canned) dial(tb testing.TB) *client.Client {
	tb.Helper()
	address, stop, err := c.serve(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stop)
	return dial(tb, address, client.Options{RetryFirst: time.Millisecond, RetryLongest: 8 * time.Millisecond})
}

func dial(tb testing.TB, address string, o client.Options) *client.Client {
	tb.Helper()
	c, err := client.Dial(address, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// collect returns what a call answers, and the error that comes last.
func collect[T any](answers iter.Seq2[T, error]) (all []T, err error) {
	for one, failure := range answers {
		if err != nil {
			panic("an answer after an error")
		}
		if err = failure; err == nil {
			all = append(all, one)
		}
	}
	return all, err
}

// all is collect of a call that is to succeed.
func all[T any](tb testing.TB, answers iter.Seq2[T, error]) []T {
	tb.Helper()
	got, err := collect(answers)
	if err != nil {
		tb.Fatal(err)
	}
	return got
}
