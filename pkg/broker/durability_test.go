package broker_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
)

// TestAskDurability asks real servers, each with other settings.
func TestAskDurability(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		always   bool
		interval time.Duration
		said     string
	}{
		"a server that syncs always":       {true, time.Minute, "nothing that was acknowledged is lost unless the broker's disk is"},
		"a server that syncs every second": {false, time.Second, "of the last 1s may be lost when the broker's machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			natstest.Server(t, func(o *localnats.Options) {
				o.SyncAlways, o.SyncInterval = c.always, c.interval
				o.Configure = func(so *server.Options) { so.HTTPHost, so.HTTPPort = "127.0.0.1", port }
			})
			monitor := fmt.Sprintf("http://127.0.0.1:%d", port)
			d := broker.AskDurability(t.Context(), monitor, 1)
			if d.Unanswered != nil || !d.Known || d.SyncAlways != c.always || d.SyncInterval != c.interval {
				t.Fatalf("%s says %+v", monitor, d)
			}
			if !strings.Contains(d.LossBound(), c.said) {
				t.Errorf("said is %q", d.LossBound())
			}
		})
	}
	t.Run("what is no server", func(t *testing.T) {
		t.Parallel()
		for _, monitor := range []string{"127.0.0.1:8222", "http://127.0.0.1:1", ""} {
			d := broker.AskDurability(t.Context(), monitor, 1)
			if d.Known || d.Unanswered == nil || !strings.HasSuffix(d.LossBound(), d.Unanswered.Error()) {
				t.Errorf("%q says %+v: %q", monitor, d, d.LossBound())
			}
		}
	})
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestLossBound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    broker.Durability
		said string
	}{
		{broker.Durability{Replicas: 1}, "of the last 2m0s may be lost when the broker's machine loses its power; " +
			"nothing is when its process dies. This takes the broker's default for granted"},
		{broker.Durability{Replicas: 3}, "of the last 2m0s may be lost when 2 of 3 broker machines"},
		{broker.Durability{Replicas: 5, Known: true, SyncAlways: true}, "unless the disks of 3 of 5 servers are"},
		{broker.Durability{Replicas: 3, Known: true, SyncInterval: time.Second}, "of the last 1s may be lost when 2 of 3"},
	} {
		if bound := c.d.LossBound(); !strings.Contains(bound, c.said) {
			t.Errorf("%+v: %q, want %q", c.d, bound, c.said)
		}
	}
}
