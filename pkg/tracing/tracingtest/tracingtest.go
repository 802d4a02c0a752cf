// Package tracingtest records spans in memory for tests.
package tracingtest

import (
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/tracing"
)

// Recorder returns a provider that chooses none of the spans that begin in the process,
// as by default it nearly does, and what it exports: what producers have sampled and
// what is kept.
func Recorder() (trace.TracerProvider, *tracetest.InMemoryExporter) {
	exported := tracetest.NewInMemoryExporter()
	limits := sdktrace.NewSpanLimits()
	limits.LinkCountLimit = -1
	return sdktrace.NewTracerProvider(
		sdktrace.WithSampler(tracing.Sampler(sdktrace.ParentBased(sdktrace.NeverSample()), true)),
		sdktrace.WithSyncer(exported), sdktrace.WithRawSpanLimits(limits),
	), exported
}

// Context returns the context of a producer's span in a trace of that number.
func Context(number byte, sampled bool) trace.SpanContext {
	c := trace.SpanContextConfig{TraceID: trace.TraceID{15: number}, SpanID: trace.SpanID{7: number}}
	if sampled {
		c.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(c)
}

// Attribute returns what a span says of a key, nil when nothing.
func Attribute(span *tracetest.SpanStub, key string) any {
	for _, a := range span.Attributes {
		if string(a.Key) == key {
			return a.Value.AsInterface()
		}
	}
	return nil
}
