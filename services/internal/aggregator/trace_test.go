package aggregator

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/pkg/tracing/tracingtest"
	"github.com/energy-platform/energy/pkg/wire"
)

// traced is a worker of partition 0 whose spans are recorded.
type traced struct {
	*worker
	exported *tracetest.InMemoryExporter
	catalog  *catalog.Catalog
	sequence uint64
}

func newTraced(t *testing.T) *traced {
	t.Helper()
	epochs := &known{t: t}
	first := epochs.add("15m")
	d := deps(t)
	d.Catalogs = NewCatalogs(epochs)
	provider, exported := tracingtest.Recorder()
	d.Tracer = tracing.New(provider)
	a, f := flusher(t, d.Deps)
	a.relay = newRelay(a.Deps, 0)
	a.Report = func(string, error) {}
	a.position = goldstore.Position{Stream: f.Move.Stream, Created: f.Move.Created}
	a.collector.Take() // what flusher has put there
	return &traced{worker: a, exported: exported, catalog: first}
}

// take has the worker merge a reading received at a time, from a message in a context. It
// returns the span, if one is exported, and the context that the feed's message has.
func (a *traced) take(
	t *testing.T, value float64, received time.Time, from trace.SpanContext,
) (span *tracetest.SpanStub, fed trace.SpanContext) {
	t.Helper()
	a.exported.Reset()
	a.sequence++
	judgement := silver.NewJudge(a.catalog).Bench("e", "site_energy", "kWh").Judge(reading.Reading{
		EntityID: "e", Metric: "site_energy", Unit: "kWh", Value: value, Revision: a.sequence,
		Time: time.Date(2026, 1, 2, 0, 5, 0, 0, time.UTC).UnixNano(), Length: 5 * time.Minute,
	}, reading.Stamp{Received: received.UnixNano(), Sequence: a.sequence}, nil)
	encoder := new(wire.SilverEncoder)
	encoder.Add(&judgement)
	data, err := encoder.Marshal(a.catalog.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{}
	tracing.Inject(trace.ContextWithSpanContext(t.Context(), from), m)
	err = a.pass(t.Context(), &broker.Batch{
		Messages: []broker.Message{{Data: data, Header: m.Header, Sequence: a.sequence, Received: received}},
		First:    a.sequence, Last: a.sequence,
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := a.worker.Store.PendingOutbox(t.Context(), 0)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the outbox has %v, %v", entries, err)
	}
	if err := a.worker.Store.DeleteOutbox(t.Context(), []int64{entries[0].ID}); err != nil {
		t.Fatal(err)
	}
	spans := a.exported.GetSpans()
	for i := range spans {
		if spans[i].Name == "gold batch" {
			span = &spans[i]
		}
	}
	return span, tracing.Extract(t.Context(), outboxMessage(entries[0]).Header)
}

// TestTracesGoIntoGoldAndItsFeed takes one window through its life: what comes while it
// is open is traced as its producer says, what restates it is kept.
func TestTracesGoIntoGoldAndItsFeed(t *testing.T) {
	t.Parallel()
	a := newTraced(t)
	open := time.Date(2026, 1, 2, 0, 10, 0, 0, time.UTC)
	closed := open.AddDate(0, 1, 0)

	if span, fed := a.take(t, 1, open, trace.SpanContext{}); span != nil || fed.IsValid() {
		t.Errorf("of a reading that nobody traces there is %+v, the feed has %v", span, fed)
	}

	producer := tracingtest.Context(1, true)
	span, fed := a.take(t, 2, open, producer)
	if span == nil || span.Parent.SpanID() != producer.SpanID() || span.SpanContext.TraceID() != producer.TraceID() {
		t.Fatalf("of a reading that is traced there is %+v", span)
	}
	if fed.SpanID() != span.SpanContext.SpanID() {
		t.Errorf("the feed has %v", fed)
	}
	for key, want := range map[string]any{
		"energy.kept": nil, "energy.worker": "gold.0", "energy.readings.in": int64(1), "energy.rows.updated": int64(1),
		"energy.rows.restated": int64(0), "energy.sequence.last": int64(2),
	} {
		if got := tracingtest.Attribute(span, key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}

	span, fed = a.take(t, 3, closed, tracingtest.Context(2, false))
	if span == nil || tracingtest.Attribute(span, "energy.kept") != tracing.Restatement ||
		tracingtest.Attribute(span, "energy.rows.restated") != int64(1) {
		t.Fatalf("of a restatement there is %+v", span)
	}
	if fed.SpanID() != span.SpanContext.SpanID() || !fed.IsSampled() {
		t.Errorf("of a restatement the feed has %v", fed)
	}
}
