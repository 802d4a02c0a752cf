package goldstore

import (
	"bytes"
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// deadline bounds each statement and each batch of them on this side: where the
// server's host is gone without a word, nobody there ends a statement. It comes
// after the server's own bound, which says better what was wrong. A call that meets
// it fails with context.DeadlineExceeded and loses its connection.
//
// It is pgx's tracer, whose context is used for the rest of the traced call; calls
// below pgx take theirs from the connection. 0 bounds nothing.
type deadline time.Duration

// deadlineOf returns the deadline that goes with the server's statement timeout.
func deadlineOf(statement time.Duration) deadline { return deadline(statement + statement/2) }

func (d deadline) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(d))
}

// endKey is the key of what frees the resources of a traced call's context.
type endKey struct{}

func (d deadline) start(ctx context.Context) context.Context {
	ctx, cancel := d.within(ctx)
	return context.WithValue(ctx, endKey{}, cancel)
}

func end(ctx context.Context) {
	if cancel, ok := ctx.Value(endKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceQueryStart is of pgx.QueryTracer.
func (d deadline) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return d.start(ctx)
}

// TraceQueryEnd is of pgx.QueryTracer.
func (d deadline) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { end(ctx) }

// TraceBatchStart is of pgx.BatchTracer.
func (d deadline) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return d.start(ctx)
}

// TraceBatchQuery is of pgx.BatchTracer.
func (d deadline) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is of pgx.BatchTracer.
func (d deadline) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) { end(ctx) }

const deadlineMark = "deadline"

// mark lets calls below pgx on a connection find the deadline.
func (d deadline) mark(conn *pgx.Conn) { conn.PgConn().CustomData()[deadlineMark] = d }

// within bounds a call below pgx on a connection.
func within(ctx context.Context, conn *pgx.Conn) (context.Context, context.CancelFunc) {
	d, _ := conn.PgConn().CustomData()[deadlineMark].(deadline)
	return d.within(ctx)
}

// copyIn runs a COPY FROM STDIN.
func copyIn(ctx context.Context, conn *pgx.Conn, b copyBuffer, sql string) error {
	ctx, cancel := within(ctx, conn)
	defer cancel()
	_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(b), sql)
	return err
}
