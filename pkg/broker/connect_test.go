package broker_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
)

// lines passes on what is logged.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestConnectSaysOnceWhyItWaits(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	logged, ended := make(lines, 100), make(chan error, 1)
	go func() {
		_, err := broker.Connect(ctx, broker.ConnectConfig{
			URL: "127.0.0.1:1", Logger: slog.New(slog.NewTextHandler(logged, nil)),
		})
		ended <- err
	}()
	if line := <-logged; !strings.Contains(line, "servers=nats://127.0.0.1:1") || !strings.Contains(line, "nats: no servers") {
		t.Error(line)
	}
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "no servers") {
		t.Error(err)
	}
	if len(logged) > 0 {
		t.Errorf("it says also %s", <-logged)
	}
}
