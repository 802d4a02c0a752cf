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
// 0 bounds nothing.
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

const callsMark = "calls"

// mark lets calls below pgx on a connection find what bounds and traces them.
func (c *calls) mark(conn *pgx.Conn) { conn.PgConn().CustomData()[callsMark] = c }

// of returns what bounds and traces calls on a connection.
func of(conn *pgx.Conn) *calls {
	if c, ok := conn.PgConn().CustomData()[callsMark].(*calls); ok {
		return c
	}
	return newCalls(0, nil)
}

// within bounds a call below pgx on a connection.
func within(ctx context.Context, conn *pgx.Conn) (context.Context, context.CancelFunc) {
	return of(conn).within(ctx)
}

// copyIn runs a COPY FROM STDIN.
func copyIn(ctx context.Context, conn *pgx.Conn, b copyBuffer, sql string) error {
	ctx, cancel := within(ctx, conn)
	defer cancel()
	ctx = of(conn).span(ctx, summary(sql), sql)
	tag, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(b), sql)
	endSpan(ctx, tag, err)
	return err
}
