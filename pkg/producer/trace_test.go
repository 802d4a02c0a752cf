package producer_test

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/tracing/tracingtest"
)

// TestMessagesHaveTheTraceOfTheirReadings publishes in one linger what belongs to several
// traces and to none.
func TestMessagesHaveTheTraceOfTheirReadings(t *testing.T) {
	t.Parallel()
	js := provisioned(t, 0)
	p, _ := start(t, js, producer.Options{Linger: time.Hour})
	a, b, unsampled := tracingtest.Context(1, true), tracingtest.Context(2, true), tracingtest.Context(3, false)
	publish := func(n int, from trace.SpanContext) *producer.Receipt {
		return p.Publish(trace.ContextWithSpanContext(context.WithoutCancel(t.Context()), from), run(n, n+1)...)
	}
	var receipts []*producer.Receipt
	for i, from := range []trace.SpanContext{{}, a, unsampled, a, {}, b, b, {}, a} {
		receipts = append(receipts, publish(i, from))
	}
	if err := p.Flush(patient(t)); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(patient(t), broker.StreamReadings)
	if err != nil {
		t.Fatal(err)
	}
	// Readings that nobody samples go along with what is open.
	for i, want := range []trace.SpanContext{a, a, a, a, a, b, b, b, a} {
		o := receipts[i].Outcome(0)
		m, err := stream.GetMsg(patient(t), o.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		if got := tracing.Extract(t.Context(), m.Header); got.SpanID() != want.SpanID() || !got.IsSampled() {
			t.Errorf("reading %d is in the message of %v, want %v", i, got, want)
		}
	}
	if got := p.Stats().Messages; got != 3 {
		t.Errorf("there are %d messages", got)
	}
}

func TestMessagesThatNobodyTracesHaveNoContext(t *testing.T) {
	t.Parallel()
	js := provisioned(t, 0)
	p, _ := start(t, js, producer.Options{})
	ctx := trace.ContextWithSpanContext(context.WithoutCancel(t.Context()), tracingtest.Context(1, false))
	receipt := p.Publish(ctx, []reading.Reading{numbered(1)}...)
	if err := receipt.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	m, err := broker.Get(patient(t), js, broker.StreamReadings, receipt.Outcome(0).Sequence)
	if err != nil || m.Header.Get("traceparent") != "" {
		t.Errorf("the headers are %v, %v", m.Header, err)
	}
}
