package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/tracing/tracingtest"
)

// recorder returns a tracer and what it has exported.
func recorder() (tracing.Tracer, *tracetest.InMemoryExporter) {
	provider, exported := tracingtest.Recorder()
	return tracing.New(provider), exported
}

// spanContext returns the context of span number n of trace number t.
func spanContext(t, n int, sampled bool) trace.SpanContext {
	c := trace.SpanContextConfig{
		TraceID: trace.TraceID{0: 1, 14: byte(t >> 8), 15: byte(t)}, SpanID: trace.SpanID{0: 1, 6: byte(n >> 8), 7: byte(n)},
	}
	if sampled {
		c.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(c)
}

// header returns what a producer would send that publishes in a context.
func header(c trace.SpanContext) nats.Header {
	m := new(nats.Msg)
	tracing.Inject(trace.ContextWithSpanContext(context.Background(), c), m)
	return m.Header
}

func origins(contexts ...trace.SpanContext) *tracing.Origins {
	o := new(tracing.Origins)
	for _, c := range contexts {
		o.Add(context.Background(), header(c))
	}
	return o
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	sc := spanContext(1, 2, true)
	const written = "00-01000000000000000000000000000001-0100000000000002-01"
	t.Run("AreWrittenInLowerCase", func(t *testing.T) {
		t.Parallel()
		if got := header(sc)["traceparent"]; len(got) != 1 || got[0] != written {
			t.Errorf("traceparent is %q", got)
		}
		if got := tracing.Headers(trace.ContextWithSpanContext(t.Context(), sc)); got["traceparent"] != written {
			t.Errorf("headers are %v", got)
		}
	})
	t.Run("AreReadAsHTTPLibrariesWriteThemToo", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"traceparent", "Traceparent"} {
			got := tracing.Extract(t.Context(), nats.Header{name: {written}})
			if got.TraceID() != sc.TraceID() || got.SpanID() != sc.SpanID() || !got.IsSampled() || !got.IsRemote() {
				t.Errorf("%s gives %v", name, got)
			}
		}
	})
	t.Run("CarryTheState", func(t *testing.T) {
		t.Parallel()
		sent := nats.Header{"traceparent": {written}, "tracestate": {"vendor=1"}}
		m := new(nats.Msg)
		tracing.Inject(trace.ContextWithRemoteSpanContext(t.Context(), tracing.Extract(t.Context(), sent)), m)
		if got := m.Header.Get("tracestate"); got != "vendor=1" {
			t.Errorf("tracestate is %q", got)
		}
	})
	t.Run("ThatAreThereStay", func(t *testing.T) {
		t.Parallel()
		m := &nats.Msg{Header: nats.Header{"traceparent": {written}}}
		tracing.Inject(trace.ContextWithSpanContext(t.Context(), spanContext(7, 7, true)), m)
		if got := m.Header.Get("traceparent"); got != written {
			t.Errorf("traceparent is %q", got)
		}
	})
	t.Run("OfNobodyAreNone", func(t *testing.T) {
		t.Parallel()
		m := new(nats.Msg)
		if tracing.Inject(t.Context(), m); m.Header != nil || tracing.Headers(t.Context()) != nil {
			t.Errorf("without a span there are headers: %v", m.Header)
		}
		for _, wrong := range []string{"", "01", "00-00000000000000000000000000000000-0100000000000002-01", written + "-01"} {
			if got := tracing.Extract(t.Context(), nats.Header{"traceparent": {wrong}}); got.IsValid() {
				t.Errorf("%q gives %v", wrong, got)
			}
		}
	})
}

func TestABatch(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		from   []trace.SpanContext
		parent trace.SpanContext // not valid: the span begins a trace
		links  int
		none   bool // nothing is recorded
		passed trace.SpanContext
	}{
		"of one context is its child":   {from: []trace.SpanContext{spanContext(1, 1, true)}, parent: spanContext(1, 1, true)},
		"of one context, often, is too": {from: []trace.SpanContext{spanContext(1, 1, true), spanContext(1, 1, true)}, parent: spanContext(1, 1, true)},
		"of one trace is in it, linked to the rest": {
			from:   []trace.SpanContext{spanContext(1, 1, true), spanContext(1, 2, true), spanContext(1, 3, true)},
			parent: spanContext(1, 1, true), links: 2,
		},
		"of one sampled trace among others is in it": {
			from:   []trace.SpanContext{spanContext(2, 1, false), spanContext(1, 1, true), spanContext(3, 1, false)},
			parent: spanContext(1, 1, true),
		},
		"of several traces is linked to all": {from: []trace.SpanContext{spanContext(1, 1, true), spanContext(2, 1, true)}, links: 2},
		"of nobody who is sampled is not":    {from: []trace.SpanContext{spanContext(1, 1, false), spanContext(2, 1, false)}, none: true},
		"of a trace that is not sampled passes it on": {
			from: []trace.SpanContext{spanContext(1, 1, false)}, none: true, passed: spanContext(1, 1, false),
		},
		"of nobody is not": {none: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracer, exported := recorder()
			ctx, b := tracer.Batch(t.Context(), "batch", origins(c.from...))
			m := new(nats.Msg)
			tracing.Inject(ctx, m)
			b.End()
			spans := exported.GetSpans()
			if c.none {
				if len(spans) != 0 {
					t.Fatalf("%d spans are recorded", len(spans))
				}
				sent := tracing.Extract(t.Context(), m.Header)
				if sent.TraceID() != c.passed.TraceID() || sent.SpanID() != c.passed.SpanID() {
					t.Errorf("it passes on %v", sent)
				}
				return
			}
			if len(spans) != 1 {
				t.Fatalf("%d spans are recorded", len(spans))
			}
			span := spans[0]
			if span.Parent.SpanID() != c.parent.SpanID() || len(span.Links) != c.links {
				t.Errorf("its parent is %v, its links are %v", span.Parent, span.Links)
			}
			if c.parent.IsValid() && span.SpanContext.TraceID() != c.parent.TraceID() {
				t.Errorf("it is in trace %s", span.SpanContext.TraceID())
			}
			if sent := tracing.Extract(t.Context(), m.Header); sent.SpanID() != span.SpanContext.SpanID() || !sent.IsSampled() {
				t.Errorf("it passes on %v", sent)
			}
		})
	}
}

func TestABatchOfAThousandTracesIsLinkedToEachThatIsSampled(t *testing.T) {
	t.Parallel()
	tracer, exported := recorder()
	from := new(tracing.Origins)
	for i := range 1500 {
		sc := spanContext(i+1, 1, i%3 != 0)
		from.Add(t.Context(), header(sc))
		from.Add(t.Context(), header(sc)) // of which there are two messages
		from.Add(t.Context(), nil)
	}
	_, b := tracer.Batch(t.Context(), "batch", from)
	b.End()
	linked := make(map[trace.TraceID]int)
	for _, l := range exported.GetSpans()[0].Links {
		linked[l.SpanContext.TraceID()]++
	}
	for i := range 1500 {
		want := 1
		if i%3 == 0 {
			want = 0
		}
		if got := linked[spanContext(i+1, 1, true).TraceID()]; got != want {
			t.Fatalf("trace %d has %d links, want %d", i+1, got, want)
		}
	}
}

func TestWhatIsNotableIsKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	unsampled := spanContext(1, 1, false)
	for name, c := range map[string]struct {
		what   func(context.Context)
		reason string
		status codes.Code
		events int
	}{
		"a quarantine":              {func(ctx context.Context) { tracing.Keep(ctx, tracing.Quarantine) }, tracing.Quarantine, codes.Unset, 0},
		"an error that was mended":  {func(ctx context.Context) { tracing.Trouble(ctx, broken) }, tracing.Failure, codes.Unset, 1},
		"an error that was not":     {func(ctx context.Context) { tracing.Failed(ctx, broken) }, tracing.Failure, codes.Error, 1},
		"the last of several notes": {func(ctx context.Context) { tracing.Failed(ctx, broken); tracing.Keep(ctx, "more") }, "more", codes.Error, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracer, exported := recorder()
			before := time.Now()
			ctx, b := tracer.Batch(t.Context(), "batch", origins(unsampled))
			within, cancel := context.WithCancel(ctx)
			defer cancel()
			began := time.Now()
			c.what(within)
			m := new(nats.Msg)
			tracing.Inject(ctx, m)
			_, child := b.TracerProvider().Tracer("test").Start(within, "child")
			child.End()
			b.SetAttributes(attribute.Int("rows", 3))
			b.End()
			spans := exported.GetSpans()
			if len(spans) != 2 {
				t.Fatalf("%d spans are recorded", len(spans))
			}
			span := spans[1]
			if span.SpanContext.TraceID() != unsampled.TraceID() || span.Parent.SpanID() != unsampled.SpanID() {
				t.Errorf("it is not where its producer's trace is: %v below %v", span.SpanContext, span.Parent)
			}
			if span.StartTime.Before(before) || span.StartTime.After(began) {
				t.Errorf("it begins when it is kept, not when the batch did")
			}
			id := span.SpanContext.SpanID()
			if spans[0].Parent.SpanID() != id || tracing.Extract(t.Context(), m.Header).SpanID() != id {
				t.Error("what follows does not belong to it")
			}
			if got := fmt.Sprint(span.Attributes); got != fmt.Sprintf("[{\"energy.kept\":%q} {\"rows\":3}]", c.reason) {
				t.Errorf("its attributes are %s", got)
			}
			if span.Status.Code != c.status || len(span.Events) != c.events {
				t.Errorf("its status is %v, its events are %v", span.Status, span.Events)
			}
		})
	}
	t.Run("without a batch nothing is", func(t *testing.T) {
		t.Parallel()
		tracing.Failed(t.Context(), broken)
	})
	t.Run("without a provider nothing is, and contexts are passed on", func(t *testing.T) {
		t.Parallel()
		ctx, b := tracing.Tracer{}.Batch(t.Context(), "batch", origins(spanContext(1, 1, true)))
		defer b.End()
		tracing.Keep(ctx, tracing.Quarantine)
		m := new(nats.Msg)
		tracing.Inject(ctx, m)
		sent := tracing.Extract(t.Context(), m.Header)
		if sent.SpanID() != spanContext(1, 1, true).SpanID() || b.IsRecording() {
			t.Errorf("it passes on %v", m.Header)
		}
	})
}

// BenchmarkBatch is what tracing costs a batch of 1,000 messages.
func BenchmarkBatch(b *testing.B) {
	never, _ := recorder()
	plain, traced := make([]nats.Header, 1000), make([]nats.Header, 1000)
	for i := range plain {
		plain[i] = nats.Header{"Content-Type": {"application/json"}}
		traced[i] = header(spanContext(i, 1, true))
	}
	for _, c := range []struct {
		name    string
		tracer  tracing.Tracer
		headers []nats.Header
	}{
		{"NoExporter", tracing.Tracer{}, plain},
		{"Unsampled", never, plain},
		{"UnsampledWithoutHeaders", never, make([]nats.Header, 1000)},
		{"ThousandTraces", tracing.New(sdktrace.NewTracerProvider(
			sdktrace.WithSampler(tracing.Sampler(sdktrace.NeverSample(), true)))), traced},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o := new(tracing.Origins)
				for _, h := range c.headers {
					o.Add(b.Context(), h)
				}
				ctx, span := c.tracer.Batch(b.Context(), "batch", o)
				tracing.Inject(ctx, &nats.Msg{})
				span.End()
			}
		})
	}
}
