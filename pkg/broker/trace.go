package broker

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/tracing"
)

// Origins returns the trace contexts that messages came with.
func Origins(ctx context.Context, messages []Message) *tracing.Origins {
	o := new(tracing.Origins)
	for i := range messages {
		o.Add(ctx, messages[i].Header)
	}
	return o
}

// Describe says in the span of a batch what a worker, such as silver.3, has read. A span
// that is not recorded is let be.
func Describe(span trace.Span, worker, stream string, messages []Message) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("energy.worker", worker), attribute.String("messaging.system", "nats"),
		attribute.String("messaging.destination.name", stream),
		attribute.Int("messaging.batch.message_count", len(messages)),
		attribute.Int64("energy.sequence.first", int64(messages[0].Sequence)),
		attribute.Int64("energy.sequence.last", int64(messages[len(messages)-1].Sequence)),
	)
}
