package stage

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/tracing/tracingtest"
)

// TestTracesGoThroughAStage has a batch of two messages become one message for SILVER and
// one for QUARANTINE.
func TestTracesGoThroughAStage(t *testing.T) {
	t.Parallel()
	a, b := tracingtest.Context(1, true), tracingtest.Context(2, true)
	unsampled := tracingtest.Context(3, false)
	for name, c := range map[string]struct {
		from        [2]trace.SpanContext
		quarantined uint64
		fails       error
		spans       int
		parent      trace.SpanContext
		links       int
		kept        any
	}{
		"of one trace":         {from: [2]trace.SpanContext{a, a}, spans: 1, parent: a},
		"of one trace in part": {from: [2]trace.SpanContext{{}, a}, spans: 1, parent: a},
		"of two traces":        {from: [2]trace.SpanContext{a, b}, spans: 1, links: 2},
		"of none":              {},
		"of none, refused":     {quarantined: 1, spans: 1, kept: tracing.Quarantine},
		"of one that nobody samples, refused": {
			from: [2]trace.SpanContext{unsampled, unsampled}, quarantined: 1,
			spans: 1, parent: unsampled, kept: tracing.Quarantine,
		},
		"of none, failing": {fails: errors.New("broken"), spans: 1, kept: tracing.Failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			provider, exported := tracingtest.Recorder()
			d.Tracer = tracing.New(provider)
			for _, from := range c.from {
				m := nats.NewMsg(broker.BronzeSubject(0))
				tracing.Inject(trace.ContextWithSpanContext(t.Context(), from), m)
				if _, err := d.JetStream.PublishMsg(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			err := Run(t.Context(), d, Config{
				Key: "silver.0", Stream: broker.StreamBronze, Subject: broker.BronzeSubject(0),
				OutStreams: []string{broker.StreamSilver, broker.StreamQuarantine},
				Limits:     broker.BatchLimits{Messages: 2, Linger: time.Minute}, Until: 2,
				Process: func(context.Context, []broker.Message) (Output, error) {
					return Output{
						Messages: []*nats.Msg{
							{Subject: broker.SilverSubject(0)}, {Subject: broker.QuarantineSubject("silver", "limit")},
						},
						Counts: broker.Counts{In: 5, Out: 5 - c.quarantined, Quarantined: c.quarantined},
					}, c.fails
				},
			})
			if !errors.Is(err, c.fails) {
				t.Fatal(err)
			}
			spans := exported.GetSpans()
			if len(spans) != c.spans {
				t.Fatalf("%d spans are exported, want %d", len(spans), c.spans)
			}
			var own trace.SpanContext
			if c.spans > 0 {
				own = spans[0].SpanContext
				look(t, &spans[0], c.parent, c.links, c.kept)
			}
			if c.fails != nil {
				if spans[0].Status.Code != codes.Error {
					t.Errorf("its status is %v", spans[0].Status)
				}
				return
			}
			for _, stream := range []string{broker.StreamSilver, broker.StreamQuarantine} {
				stored, err := broker.Get(t.Context(), d.JetStream, stream, 1)
				if err != nil {
					t.Fatal(err)
				}
				sent := tracing.Extract(t.Context(), stored.Header)
				if sent.SpanID() != own.SpanID() || sent.IsSampled() != own.IsSampled() {
					t.Errorf("%s has a message of %v, want %v", stream, sent, own)
				}
			}
		})
	}
}

func look(t *testing.T, span *tracetest.SpanStub, parent trace.SpanContext, links int, kept any) {
	t.Helper()
	if span.Name != "silver batch" || span.Parent.SpanID() != parent.SpanID() || len(span.Links) != links {
		t.Errorf("%s is below %v, with links %v", span.Name, span.Parent, span.Links)
	}
	for key, want := range map[string]any{
		"energy.kept": kept, "energy.worker": "silver.0", "messaging.destination.name": broker.StreamBronze,
		"messaging.batch.message_count": int64(2), "energy.sequence.first": int64(1), "energy.sequence.last": int64(2),
	} {
		if got := tracingtest.Attribute(span, key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

// TestTroubleThatIsMendedIsKept has a message fail for its own sake, which is refused
// alone.
func TestTroubleThatIsMendedIsKept(t *testing.T) {
	t.Parallel()
	d := deps(t)
	provider, exported := tracingtest.Recorder()
	d.Tracer = tracing.New(provider)
	publish(t, d.JetStream, broker.BronzeSubject(0), "good", "bad", "good")
	process := func(_ context.Context, messages []broker.Message) (Output, error) {
		for i := range messages {
			if string(messages[i].Data) == "bad" {
				panic("bad")
			}
		}
		n := uint64(len(messages))
		return Output{Counts: broker.Counts{In: n, Out: n}}, nil
	}
	err := Run(t.Context(), d, Config{
		Key: "silver.0", Stream: broker.StreamBronze, Subject: broker.BronzeSubject(0),
		OutStreams: []string{broker.StreamSilver, broker.StreamQuarantine},
		Limits:     broker.BatchLimits{Messages: 3, Linger: time.Minute}, Until: 3,
		Process: process,
		Poison: &Poison{
			Renew: func() func(context.Context, []broker.Message) (Output, error) { return process },
			Refuse: func(context.Context, *broker.Message, error) (Output, error) {
				return Output{Counts: broker.Counts{In: 1, Quarantined: 1}}, nil
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	spans := exported.GetSpans()
	if len(spans) != 1 || len(spans[0].Events) != 1 || spans[0].Status.Code != codes.Unset {
		t.Fatalf("exported are %+v", spans)
	}
	for key, want := range map[string]any{
		"energy.kept": tracing.Failure, "energy.readings.in": int64(3), "energy.readings.out": int64(2),
		"energy.readings.quarantined": int64(1),
	} {
		if got := tracingtest.Attribute(&spans[0], key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}
