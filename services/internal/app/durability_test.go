package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
)

// TestDurabilityIsAskedAgain has a broker that does not say how it syncs at first, and
// comes back with other settings later: health says each time what holds then.
func TestDurabilityIsAskedAgain(t *testing.T) {
	t.Parallel()
	var page atomic.Value
	monitor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := page.Load().(string)
		if text == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(text))
	}))
	defer monitor.Close()
	page.Store("")
	p := &Platform{
		log: slog.New(slog.DiscardHandler), health: health.New("test", nil), monitor: monitor.URL,
		topology: broker.Topology{Replicas: 1}, conn: natstest.Connect(t, natstest.Server(t)),
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.followDurability(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	await := func(words string) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(time.Minute); ; <-tick.C {
			status := p.health.Status(t.Context())
			if len(status.Components) == 1 && strings.Contains(status.Components[0].Detail, words) &&
				strings.Contains(p.LossBound(), words) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("health is %+v, want %q", status, words)
			}
		}
	}
	await("of the last 2m0s may be lost when the broker's machine loses its power; nothing is when its process dies. " +
		"This takes the broker's default for granted: ask the broker how it syncs: " + monitor.URL + "/varz answers 503")
	page.Store(`{"jetstream": {"config": {"sync_interval": 1000000000}}}`)
	await("of the last 1s may be lost")
	page.Store(`{"jetstream": {"config": {"sync_always": true}}}`)
	if err := p.conn.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	await("unless the broker's disk is")
}
