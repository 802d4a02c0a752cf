package goldstore

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/tracing/tracingtest"
)

// TestCallsAreSpans has a flush traced: what it asks of the database are spans below its
// own, the commit among them.
func TestCallsAreSpans(t *testing.T) {
	t.Parallel()
	provider, exported := tracingtest.Recorder()
	s := openURL(t, database(t), Config{Tracers: provider})
	c := defaultCatalog(t, 1)
	w := s.NewWriter(0, c, WriterConfig{})

	flush(t, w, Flush{Groups: groups(c, register, version(0, 1, 1))})
	if spans := exported.GetSpans(); len(spans) != 0 {
		t.Fatalf("outside of a span there are %d", len(spans))
	}

	// The producer samples, so that the span below is recorded.
	ctx, own := provider.Tracer("test").Start(
		trace.ContextWithRemoteSpanContext(t.Context(), tracingtest.Context(1, true)), "own")
	if _, err := w.Flush(ctx, Flush{Groups: groups(c, register, version(time.Hour, 2, 2))}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(ctx, `SELECT 1 / 0 FROM gold.positions RIGHT JOIN (SELECT) AS always ON true`); err == nil {
		t.Fatal("it did not fail")
	}
	own.End()
	spans := exported.GetSpans()
	var names []string
	for i := range spans[:len(spans)-1] {
		span := &spans[i]
		names = append(names, span.Name)
		if span.Parent.SpanID() != own.SpanContext().SpanID() {
			t.Errorf("%s is not below the flush", span.Name)
		}
		if text := tracingtest.Attribute(span, "db.query.text"); text == nil || text == "" {
			t.Errorf("%s has no statement", span.Name)
		}
		if failed := span.Name == "SELECT gold.positions"; failed != (span.Status.Code == codes.Error) {
			t.Errorf("the status of %s is %v", span.Name, span.Status)
		}
	}
	for _, want := range []string{"BATCH", "COPY", "COMMIT", "SELECT gold.positions"} {
		if !slices.ContainsFunc(names, func(name string) bool { return name == want || want == "COPY" && name[:4] == want }) {
			t.Errorf("there is no span %s among %q", want, names)
		}
	}
	if last := spans[len(spans)-1]; last.Name != "own" {
		t.Errorf("%s ended after what it belongs to", last.Name)
	}
}

func TestStatementsHaveNames(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"commit":                 "COMMIT",
		movePosition:             "UPDATE gold.positions",
		insertOutbox:             "INSERT gold.outbox",
		nextOutbox:               "SELECT gold.outbox",
		"BEGIN READ ONLY":        "BEGIN",
		"\nSELECT\n a FROM pg_x": "SELECT",
	} {
		if got := summary(sql); got != want {
			t.Errorf("%q is called %q, want %q", sql, got, want)
		}
	}
}

// BenchmarkCall is what tracing adds to a call outside of a span.
func BenchmarkCall(b *testing.B) {
	provider, _ := tracingtest.Recorder()
	c := newCalls(0, provider)
	span := func(ctx context.Context) {
		endSpan(c.span(ctx, "SELECT", "SELECT"), pgconn.CommandTag{}, nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		span(b.Context())
	}
}
