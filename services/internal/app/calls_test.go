package app

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/tracing/tracingtest"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// answering fails with a code, the same for each call.
type answering struct {
	energyv1.UnimplementedQueryServiceServer
	code codes.Code
}

func (a *answering) GetPipelineStatus(
	context.Context, *energyv1.GetPipelineStatusRequest,
) (*energyv1.GetPipelineStatusResponse, error) {
	return new(energyv1.GetPipelineStatusResponse), status.Error(a.code, "told")
}

func (a *answering) ListSeries(
	*energyv1.ListSeriesRequest, grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
) error {
	return status.Error(a.code, "told")
}

// call calls a server whose calls are traced, and returns what is exported.
func call(t *testing.T, code codes.Code, sampled bool) tracetest.SpanStubs {
	t.Helper()
	provider, exported := tracingtest.Recorder()
	l := bufconn.Listen(1 << 10)
	server := grpc.NewServer(traced(provider, noop.NewMeterProvider())...)
	energyv1.RegisterQueryServiceServer(server, &answering{code: code})
	healthv1.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///inside", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	headers := tracing.Headers(trace.ContextWithSpanContext(t.Context(), tracingtest.Context(1, sampled)))
	ctx := metadata.NewOutgoingContext(t.Context(), metadata.New(headers))
	client := energyv1.NewQueryServiceClient(conn)
	if _, err := client.GetPipelineStatus(ctx, new(energyv1.GetPipelineStatusRequest)); status.Code(err) != code {
		t.Errorf("it answers with %v", err)
	}
	stream, err := client.ListSeries(ctx, new(energyv1.ListSeriesRequest))
	if err == nil {
		_, err = stream.Recv()
	}
	if want := code; status.Code(err) != want && (want != codes.OK || err != io.EOF) { //nolint:errorlint // as Recv says
		t.Errorf("the stream ends with %v", err)
	}
	if _, err := healthv1.NewHealthClient(conn).Check(ctx, new(healthv1.HealthCheckRequest)); err != nil {
		t.Error(err)
	}
	_ = conn.Close()
	server.GracefulStop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	return exported.GetSpans()
}

func TestCallsAreSpans(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code    codes.Code
		sampled bool
		spans   int
		kept    any
	}{
		"that a client samples, below its own":            {codes.OK, true, 2, nil},
		"that a client samples and that fail, once":       {codes.Internal, true, 2, nil},
		"that nobody samples are none":                    {codes.OK, false, 0, nil},
		"that fail by the client's fault are none either": {codes.InvalidArgument, false, 0, nil},
		"that fail by the server's fault are kept":        {codes.Internal, false, 2, tracing.Failure},
		"that fail while the store is away are kept":      {codes.Unavailable, false, 2, tracing.Failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spans := call(t, c.code, c.sampled)
			if len(spans) != c.spans {
				t.Fatalf("%d spans are exported, want %d", len(spans), c.spans)
			}
			for i := range spans {
				span, parent := &spans[i], tracingtest.Context(1, c.sampled)
				if span.SpanContext.TraceID() != parent.TraceID() || span.SpanKind != trace.SpanKindServer {
					t.Errorf("%s is not in its client's trace", span.Name)
				}
				if got := tracingtest.Attribute(span, "energy.kept"); got != c.kept {
					t.Errorf("%s is kept for %v, want %v", span.Name, got, c.kept)
				}
			}
			for _, method := range []string{"GetPipelineStatus", "ListSeries"} {
				named := func(s tracetest.SpanStub) bool { return s.Name == "energy.v1.QueryService/"+method }
				if c.spans > 0 && !slices.ContainsFunc(spans, named) {
					t.Errorf("there is no span of %s", method)
				}
			}
		})
	}
}
