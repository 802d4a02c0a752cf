// Package telemetry exports what a process traces, as the standard variables of
// OpenTelemetry say, and adds trace ids to what it logs.
//
// Exporting never holds a process up: spans wait in a queue that is bounded by number
// and by bytes, what does not fit is dropped, and what is lost is counted and told in
// the log. Without an endpoint nothing is exported and nothing recorded; contexts of
// producers are passed on all the same.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Process is what spans tell of who opened them, unless the settings say otherwise.
type Process struct {
	Service  string
	Instance string // empty: not told
	// Always samples whatever begins here, and records it though nothing may be exported:
	// for tools whose user asks for a trace.
	Always bool
}

// Telemetry is the tracing of a process.
type Telemetry struct {
	tracers trace.TracerProvider
	sdk     *sdktrace.TracerProvider // nil: nothing is exported
	queue   *queue
}

// Open makes ready what the settings say. It does not wait for the exporter's other
// end: one that is away costs spans, nothing else. Close must be called.
func Open(ctx context.Context, s Settings, p Process, log *slog.Logger) (*Telemetry, error) {
	if p.Always {
		s.Sampler = "always_on"
	}
	if !s.exports() {
		if p.Always {
			return &Telemetry{tracers: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))}, nil
		}
		return &Telemetry{tracers: noop.NewTracerProvider()}, nil
	}
	exporter, err := s.exporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	sampler, err := s.sampler()
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	q := newQueue(ctx, exporter, s.limits(), log)
	limits := sdktrace.NewSpanLimits()
	limits.LinkCountLimit = -1 // a batch is bounded, and links to all that it is made of
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(q), sdktrace.WithResource(s.resource(p)),
		sdktrace.WithRawSpanLimits(limits),
	)
	log.InfoContext(ctx, "traces are exported", "endpoint", s.target(), "sampler", sampler.Description())
	return &Telemetry{tracers: provider, sdk: provider, queue: q}, nil
}

// resource describes the process.
func (s *Settings) resource(p Process) *resource.Resource {
	attributes := []attribute.KeyValue{
		semconv.TelemetrySDKName("opentelemetry"), semconv.TelemetrySDKLanguageGo, semconv.ServiceName(p.Service),
	}
	if p.Instance != "" {
		attributes = append(attributes, semconv.ServiceInstanceID(p.Instance))
	}
	given, _ := s.attributes() // Validate has told
	attributes = append(attributes, given...)
	if s.ServiceName != "" {
		attributes = append(attributes, semconv.ServiceName(s.ServiceName))
	}
	return resource.NewWithAttributes(semconv.SchemaURL, attributes...) // of one key the last counts
}

// Tracers returns what opens the process's spans.
func (t *Telemetry) Tracers() trace.TracerProvider { return t.tracers }

// Stats counts the spans that were to be exported.
type Stats struct {
	Exported uint64
	Dropped  uint64 // the queue was full, or closed
	Failed   uint64 // the other end did not take them
}

// Lost is how many spans are not exported and never will be.
func (s Stats) Lost() uint64 { return s.Dropped + s.Failed }

// Stats returns the counts so far.
func (t *Telemetry) Stats() Stats {
	if t.queue == nil {
		return Stats{}
	}
	return t.queue.read()
}

// Close exports what is left, until ctx ends. That something is lost is no error: it is
// told in the log.
func (t *Telemetry) Close(ctx context.Context) error {
	if t.sdk == nil {
		return nil
	}
	err := t.sdk.Shutdown(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}
