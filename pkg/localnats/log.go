package localnats

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// serverLog is nats-server's logger. Its methods are called under the server's locks: they must not call the server.
type serverLog struct {
	logger *slog.Logger

	mu    sync.Mutex
	death error
}

// fatalError is what the server found fatal. It keeps the cause, which the server hands to its logger and to nobody
// else.
type fatalError struct {
	text  string
	cause error // nil when the server gave none
}

func (e *fatalError) Error() string { return e.text }
func (e *fatalError) Unwrap() error { return e.cause }

// fatal is the first thing that the server found fatal, nil when nothing was.
func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.death
}

// Fatalf is where the server gives up. A standalone server would exit; an embedded one only logs.
func (l *serverLog) Fatalf(format string, v ...any) {
	e := &fatalError{text: fmt.Sprintf(format, v...)}
	for _, arg := range v {
		if cause, ok := arg.(error); ok {
			e.cause = cause
		}
	}
	l.mu.Lock()
	if l.death == nil {
		l.death = e
	}
	l.mu.Unlock()
	l.write(slog.LevelError, format, v)
}

// Noticef writes as debug: a start alone has a dozen notices.
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Warnf writes as warning.
func (l *serverLog) Warnf(format string, v ...any) { l.write(slog.LevelWarn, format, v) }

// Errorf writes as error.
func (l *serverLog) Errorf(format string, v ...any) { l.write(slog.LevelError, format, v) }

// Debugf is not called, for Start asks for no debug lines; were it, it would write as debug.
func (l *serverLog) Debugf(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Tracef is not called, for Start asks for no trace lines; were it, it would write as debug.
func (l *serverLog) Tracef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

func (l *serverLog) write(level slog.Level, format string, v []any) {
	ctx := context.Background() //nolint:forbidigo // the server's interface has none
	if l.logger.Enabled(ctx, level) {
		l.logger.Log(ctx, level, "nats server says", "line", fmt.Sprintf(format, v...))
	}
}
