package tracing

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope names the instrumentation in what is exported.
const scope = "github.com/energy-platform/energy/pkg/tracing"

// Why a span is kept that no sampler chose.
const (
	Failure     = "error"
	Quarantine  = "quarantine"
	Restatement = "restatement"
)

// keptKey is the attribute that says why a span is kept, and makes a sampler keep it.
const keptKey = attribute.Key("energy.kept")

// Tracer opens the spans of batches. It is safe for concurrent use. The zero value
// records nothing and passes contexts on.
type Tracer struct{ tracer trace.Tracer }

// New returns a tracer of a provider whose sampler is a [Sampler].
func New(provider trace.TracerProvider) Tracer { return Tracer{provider.Tracer(scope)} }

// Batch begins the span of a batch and returns a context with it: that of whatever the
// batch makes happen, in which Inject, Keep and Fail find it. End must be called.
func (t Tracer) Batch(ctx context.Context, name string, from *Origins) (context.Context, *Batch) {
	parent, links := from.parent()
	if t.tracer == nil {
		t.tracer = noop.Tracer{}
	}
	b := &Batch{
		tracer: t.tracer, name: name, parent: trace.ContextWithRemoteSpanContext(ctx, parent), links: links,
		began: time.Now(),
	}
	b.inner = trace.SpanFromContext(b.parent)
	b.start()
	return trace.ContextWithSpan(ctx, b), b
}

// Failed keeps, as a span of its own, what began then in ctx and failed, unless ctx's own
// is recorded.
func (t Tracer) Failed(ctx context.Context, name string, began time.Time, err error) {
	if t.tracer == nil || trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(keptKey.String(Failure)))
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	span.End()
}

// Batch is the span of a batch. Until it is chosen by a sampler or kept, it stands for
// the context that it is a child of and records nothing. It is safe for concurrent use.
type Batch struct {
	noop.Span // what is not said below

	tracer trace.Tracer
	name   string
	parent context.Context //nolint:containedctx // what the span begins under, whenever that is decided
	links  []trace.Link
	began  time.Time

	mu    sync.Mutex
	inner trace.Span
	ended bool
}

// start asks the sampler. The caller holds the lock, or has b for itself.
func (b *Batch) start(attributes ...attribute.KeyValue) {
	_, span := b.tracer.Start(b.parent, b.name, trace.WithTimestamp(b.began), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(b.links...), trace.WithAttributes(attributes...))
	if span.IsRecording() {
		b.inner = span
	}
}

func (b *Batch) span() trace.Span {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inner
}

// keep records the span from here on, if it is not yet.
func (b *Batch) keep(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
	case b.inner.IsRecording():
		b.inner.SetAttributes(keptKey.String(reason))
	default:
		b.start(keptKey.String(reason))
	}
}

// End ends the span.
func (b *Batch) End(options ...trace.SpanEndOption) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.inner.End(options...)
}

// IsRecording reports whether the span will be exported.
func (b *Batch) IsRecording() bool { return b.span().IsRecording() }

// SpanContext returns the span's context, that of its parent while nothing is recorded.
func (b *Batch) SpanContext() trace.SpanContext { return b.span().SpanContext() }

// SetAttributes is of trace.Span. Ask IsRecording before making many.
func (b *Batch) SetAttributes(a ...attribute.KeyValue) { b.span().SetAttributes(a...) }

// AddEvent is of trace.Span.
func (b *Batch) AddEvent(name string, options ...trace.EventOption) {
	b.span().AddEvent(name, options...)
}

// RecordError is of trace.Span.
func (b *Batch) RecordError(err error, options ...trace.EventOption) {
	b.span().RecordError(err, options...)
}

// SetStatus is of trace.Span.
func (b *Batch) SetStatus(code codes.Code, description string) { b.span().SetStatus(code, description) }

// SetName is of trace.Span.
func (b *Batch) SetName(name string) { b.span().SetName(name) }

// AddLink is of trace.Span.
func (b *Batch) AddLink(link trace.Link) { b.span().AddLink(link) }

// TracerProvider is of trace.Span: it opens spans as those of the batch's are.
func (b *Batch) TracerProvider() trace.TracerProvider { return b.span().TracerProvider() }

// Keep has the batch of ctx kept for a reason. Without a batch it does nothing.
func Keep(ctx context.Context, reason string) {
	if b, ok := trace.SpanFromContext(ctx).(*Batch); ok {
		b.keep(reason)
	}
}

// Trouble has the batch of ctx kept for an error that it met, mended or not by now.
func Trouble(ctx context.Context, err error) {
	Keep(ctx, Failure)
	trace.SpanFromContext(ctx).RecordError(err)
}

// Failed has the batch of ctx kept as one that failed.
func Failed(ctx context.Context, err error) {
	Trouble(ctx, err)
	trace.SpanFromContext(ctx).SetStatus(codes.Error, err.Error())
}
