package app

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/energy-platform/energy/pkg/tracing"
)

// traced returns the options of a server whose calls are spans, below those of their
// clients, and counted. A call that fails by the server's fault is kept, whoever samples.
func traced(tracers trace.TracerProvider, meters metric.MeterProvider) []grpc.ServerOption {
	k := keeper{tracing.New(tracers)}
	return []grpc.ServerOption{
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(tracers), otelgrpc.WithMeterProvider(meters),
			otelgrpc.WithPropagators(propagation.TraceContext{}),
			// Health is asked for often, and neither it nor reflection is of interest.
			otelgrpc.WithFilter(func(call *stats.RPCTagInfo) bool { return !strings.HasPrefix(call.FullMethodName, "/grpc.") }),
		)),
		grpc.ChainUnaryInterceptor(k.unary),
		grpc.ChainStreamInterceptor(k.stream),
	}
}

// keeper keeps calls that fail by the server's fault.
type keeper struct{ tracer tracing.Tracer }

func (k keeper) unary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	began := time.Now()
	response, err := next(ctx, request)
	if isFault(err) {
		k.tracer.Failed(ctx, info.FullMethod[1:], began, err)
	}
	return response, err
}

func (k keeper) stream(
	server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	began := time.Now()
	err := next(server, stream)
	if isFault(err) {
		k.tracer.Failed(stream.Context(), info.FullMethod[1:], began, err)
	}
	return err
}

// isFault reports whether a call failed by the server's fault, and not by its client's.
func isFault(err error) bool {
	switch status.Code(err) {
	case codes.Unknown, codes.Internal, codes.DataLoss, codes.Unavailable, codes.DeadlineExceeded:
		return true
	default:
		return false
	}
}
