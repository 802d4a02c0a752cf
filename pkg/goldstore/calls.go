package goldstore

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// calls bounds each call of pgx by the deadline and, in a span that is recorded, makes it
// a span: outside of one it costs a look at the context.
//
// It is pgx's tracer, whose context is used for the rest of the traced call; calls
// below pgx find it by their connection.
type calls struct {
	deadline
	tracer trace.Tracer
}

// newCalls returns calls of a provider, nil for none.
func newCalls(d deadline, provider trace.TracerProvider) *calls {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	return &calls{d, provider.Tracer("github.com/energy-platform/energy/pkg/goldstore")}
}

// spanKey is the key of a call's span in its context: what is innermost there is another
// one's where the call has none.
type spanKey struct{}

// span begins the span of a call, in one that is recorded. Names of what is called are
// few; the text has placeholders, and no reading in it.
func (c *calls) span(ctx context.Context, name, sql string) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	with := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", "postgresql"), attribute.String("db.query.text", strings.TrimSpace(sql)))}
	ctx, span := c.tracer.Start(ctx, name, with...) //nolint:spancheck // endSpan does
	return context.WithValue(ctx, spanKey{}, span)  //nolint:spancheck // likewise
}

// endSpan ends the span that a call has.
func endSpan(ctx context.Context, tag pgconn.CommandTag, err error) {
	span, ok := ctx.Value(spanKey{}).(trace.Span)
	if !ok {
		return
	}
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	} else {
		span.SetAttributes(attribute.Int64("energy.rows", tag.RowsAffected()))
	}
	span.End()
}

// summary names a statement by what it begins with and what of gold comes first in it.
func summary(sql string) string {
	verb, rest, _ := strings.Cut(strings.TrimSpace(sql), " ")
	verb, _, _ = strings.Cut(verb, "\n")
	verb = strings.ToUpper(verb)
	_, table, found := strings.Cut(rest, "gold.")
	if !found {
		return verb
	}
	if end := strings.IndexFunc(table, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }); end >= 0 {
		table = table[:end]
	}
	return verb + " gold." + table
}

// TraceQueryStart is of pgx.QueryTracer.
func (c *calls) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	ctx = c.start(ctx)
	if trace.SpanFromContext(ctx).IsRecording() {
		ctx = c.span(ctx, summary(q.SQL), q.SQL)
	}
	return ctx
}

// TraceQueryEnd is of pgx.QueryTracer.
func (c *calls) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryEndData) {
	endSpan(ctx, q.CommandTag, q.Err)
	end(ctx)
}

// TraceBatchStart is of pgx.BatchTracer.
func (c *calls) TraceBatchStart(ctx context.Context, _ *pgx.Conn, b pgx.TraceBatchStartData) context.Context {
	ctx = c.start(ctx)
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	var all strings.Builder
	for i, q := range b.Batch.QueuedQueries {
		if i > 0 {
			all.WriteString(";\n")
		}
		all.WriteString(strings.TrimSpace(q.SQL))
	}
	return c.span(ctx, "BATCH", all.String())
}

// TraceBatchQuery is of pgx.BatchTracer.
func (c *calls) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is of pgx.BatchTracer.
func (c *calls) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, b pgx.TraceBatchEndData) {
	endSpan(ctx, pgconn.CommandTag{}, b.Err)
	end(ctx)
}
