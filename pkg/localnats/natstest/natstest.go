// Package natstest gives a test a nats-server of its own, embedded and on a free port, ready in milliseconds.
//
// It promises that nothing of the server outlives the test. A server that cannot start fails the test.
package natstest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/localnats"
)

// Roomy is the stream store's limit unless a test sets another: above what any topology reserves, and not a byte of it
// is taken.
const Roomy = 1 << 42

// Server starts a server on a temporary folder and stops it when the test ends. The server's warnings go to the test's
// output. Each of change may alter the options before the start.
func Server(tb testing.TB, change ...func(*localnats.Options)) *localnats.Server {
	tb.Helper()
	o := localnats.Options{
		Dir:          tb.TempDir(),
		MaxStore:     Roomy,
		SyncInterval: time.Minute, // no test crashes the machine
		Logger:       slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, f := range change {
		f(&o)
	}
	s, err := localnats.Start(tb.Context(), o)
	if err != nil {
		tb.Fatalf("natstest: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Errorf("natstest: %v", err)
		}
	})
	return s
}

// Connect connects to the server and closes the connection when the test ends, before the server stops.
func Connect(tb testing.TB, s *localnats.Server, options ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(s.URL(), options...)
	if err != nil {
		tb.Fatalf("natstest: connect to %s: %v", s.URL(), err)
	}
	tb.Cleanup(nc.Close)
	return nc
}
