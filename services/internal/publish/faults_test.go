package publish_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/services/internal/publish"
)

func TestBrokerFaults(t *testing.T) {
	t.Parallel()
	t.Run("AFullStreamRefuses", func(t *testing.T) {
		t.Parallel()
		nc := natstest.Connect(t, natstest.Server(t))
		stream := provision(t, nc, 20_000)
		got, err := publish.Run(t.Context(), publish.Options{
			Conn: nc, Files: []string{file(t, "r.ndjson", lines(1000))}, BatchSize: 10, Timeout: 3 * time.Second,
		})
		if !errors.Is(err, broker.ErrStreamFull) || !strings.Contains(err.Error(), "maximum bytes exceeded") {
			t.Error(err)
		}
		n := int64(len(decode(t, stored(t, stream))))
		if n == 0 || n != got.Acknowledged || got.Refused == 0 || got.Unconfirmed != 0 ||
			got.Published != got.Acknowledged+got.Refused {
			t.Errorf("%d readings arrived; receipt:\n%v", n, got)
		}
	})
	t.Run("MissingStreamsAreNamed", func(t *testing.T) {
		t.Parallel()
		with := natstest.Server(t)
		without := natstest.Server(t, func(o *localnats.Options) {
			o.Configure = func(so *server.Options) { so.JetStream = false }
		})
		for _, s := range []*localnats.Server{with, without} {
			got, err := publish.Run(t.Context(), publish.Options{
				Conn: natstest.Connect(t, s), Files: []string{file(t, "r.ndjson", lines(3))},
			})
			if !errors.Is(err, broker.ErrNotProvisioned) || !strings.Contains(err.Error(), "run energy migrate") {
				t.Error(err)
			}
			if got.Refused != 3 || got.Acknowledged != 0 || got.Unconfirmed != 0 {
				t.Errorf("receipt:\n%v", got)
			}
		}
	})
	t.Run("AnUnreachableServerIsNamed", func(t *testing.T) {
		t.Parallel()
		_, err := publish.Run(t.Context(), publish.Options{
			URL: "nats://127.0.0.1:1", Files: []string{file(t, "r.ndjson", line(1))}, Timeout: 100 * time.Millisecond,
		})
		if err == nil || !strings.Contains(err.Error(), "nats://127.0.0.1:1") ||
			!strings.Contains(err.Error(), "start one with energy up") {
			t.Error(err)
		}
	})
	t.Run("ADeniedSubjectIsTold", func(t *testing.T) {
		t.Parallel()
		s := natstest.Server(t, func(o *localnats.Options) {
			o.Configure = func(so *server.Options) {
				so.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
					Publish: &server.SubjectPermission{Deny: []string{"readings.>"}},
				}}}
			}
		})
		got, err := publish.Run(t.Context(), publish.Options{
			URL: strings.Replace(s.URL(), "://", "://u:p@", 1), Files: []string{file(t, "r.ndjson", line(1))},
			Timeout: time.Second,
		})
		if err == nil || !strings.Contains(err.Error(), "Permissions Violation") || got.Unconfirmed != 1 {
			t.Errorf("%v; receipt:\n%v", err, got)
		}
	})
	t.Run("ARestartLosesNothing", testRestart)
}

// testRestart stops the server between two halves of a stream of readings.
func testRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(port int) *localnats.Server {
		s, err := localnats.Start(context.WithoutCancel(t.Context()),
			localnats.Options{Dir: dir, Port: port, MaxStore: natstest.Roomy})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := start(0)
	watch, err := nats.Connect(first.URL())
	if err != nil {
		t.Fatal(err)
	}
	provision(t, watch, -1)
	seen, err := watch.SubscribeSync("readings.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Flush(); err != nil {
		t.Fatal(err)
	}
	pipe, w := io.Pipe()
	type outcome struct {
		receipt publish.Receipt
		err     error
	}
	done := make(chan outcome)
	go func() {
		r, err := publish.Run(t.Context(), publish.Options{
			URL: first.URL(), Files: []string{"-"}, Stdin: pipe, BatchSize: 10,
		})
		done <- outcome{r, err}
	}()
	for i := range 1000 {
		_, _ = io.WriteString(w, line(i))
	}
	for range 50 { // half of it is on its way, and half perhaps not
		if _, err := seen.NextMsg(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	address, err := url.Parse(first.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	watch.Close()
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		_, _ = io.WriteString(w, line(1000+i))
	}
	_ = w.Close()
	second := start(port)
	defer second.Stop()
	got := <-done
	if got.err != nil || got.receipt.Acknowledged != 2000 || got.receipt.Resent == 0 {
		t.Fatalf("%v; receipt:\n%v", got.err, got.receipt)
	}
	nc, err := nats.Connect(second.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "READINGS")
	if err != nil {
		t.Fatal(err)
	}
	distinct := map[float64]bool{}
	for _, r := range decode(t, stored(t, stream)) {
		distinct[r.Value] = true
	}
	if len(distinct) != 2000 {
		t.Errorf("%d distinct readings arrived of 2000", len(distinct))
	}
}
