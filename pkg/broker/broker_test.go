package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testDeadline is for what should take milliseconds.
const testDeadline = 30 * time.Second

func testLog(tb testing.TB) *slog.Logger {
	tb.Helper()
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func testContext(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), testDeadline)
	tb.Cleanup(cancel)
	return ctx
}

// connect is broker.Connect for a test.
func connect(tb testing.TB, address string) jetstream.JetStream {
	tb.Helper()
	nc, err := broker.Connect(testContext(tb), broker.ConnectConfig{URL: address, Name: tb.Name(), Logger: testLog(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := broker.JetStream(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// smallTopology reserves little, and expires leases fast.
func smallTopology() broker.Topology {
	t := broker.DefaultTopology()
	t.Partitions = 4
	t.LeaseTTL = 600 * time.Millisecond
	t.Limits = broker.Limits{
		Readings: 512 << 20, Bronze: 512 << 20, Silver: 64 << 20, Gold: 16 << 20, Quarantine: 16 << 20,
		GoldMaxAge: time.Hour,
	}
	return t
}

// provisioned is a server of the test's own with the topology on it.
func provisioned(tb testing.TB, change ...func(*broker.Topology)) (jetstream.JetStream, *localnats.Server) {
	tb.Helper()
	s := natstest.Server(tb)
	js := connect(tb, s.URL())
	t := smallTopology()
	for _, f := range change {
		f(&t)
	}
	if err := broker.Provision(testContext(tb), js, t); err != nil {
		tb.Fatal(err)
	}
	return js, s
}

// restartable is a server that comes back on the same folder and port.
type restartable struct {
	tb      testing.TB
	options localnats.Options

	mu sync.Mutex
	s  *localnats.Server
}

func newRestartable(tb testing.TB) *restartable {
	tb.Helper()
	r := &restartable{tb: tb, options: localnats.Options{Dir: tb.TempDir(), MaxStore: natstest.Roomy}}
	r.start()
	u, err := url.Parse(r.URL())
	if err != nil {
		tb.Fatal(err)
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		tb.Fatal(err)
	}
	if r.options.Port, err = strconv.Atoi(port); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.stop)
	return r
}

func (r *restartable) URL() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.URL()
}

func (r *restartable) start() {
	r.tb.Helper()
	s, err := localnats.Start(context.WithoutCancel(r.tb.Context()), r.options)
	if err != nil {
		r.tb.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s = s
}

func (r *restartable) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.s.Stop(); err != nil {
		r.tb.Error(err)
	}
}

// eventually polls a condition that another process changes.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	ctx := testContext(tb)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			tb.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func publisher(tb testing.TB, js jetstream.JetStream) *broker.Publisher {
	tb.Helper()
	p, err := broker.NewPublisher(js, broker.PublisherConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func reader(tb testing.TB, js jetstream.JetStream, cfg broker.ReaderConfig) *broker.Reader {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = testLog(tb)
	}
	r, err := broker.OpenReader(testContext(tb), js, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return r
}

// numbered are messages first…last on a subject, each with its number in front
// and padded to size.
func numbered(subject string, first, last, size int) []*nats.Msg {
	var msgs []*nats.Msg
	for n := first; n <= last; n++ {
		data := fmt.Appendf(make([]byte, 0, size), "%d ", n)
		for len(data) < size {
			data = append(data, byte(len(data)))
		}
		msgs = append(msgs, &nats.Msg{Subject: subject, Data: data})
	}
	return msgs
}

func number(tb testing.TB, data []byte) int {
	tb.Helper()
	var n int
	if _, err := fmt.Sscanf(string(data[:min(len(data), 20)]), "%d ", &n); err != nil {
		tb.Fatalf("number of %q: %v", data[:min(len(data), 20)], err)
	}
	return n
}

func publish(tb testing.TB, js jetstream.JetStream, msgs []*nats.Msg) []broker.Ack {
	tb.Helper()
	acks, err := publisher(tb, js).PublishAll(testContext(tb), msgs)
	if err != nil {
		tb.Fatal(err)
	}
	return acks
}

func TestConnectErrorsShowNoSecrets(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, servers := range []string{
		"nats://user:hunter2@127.0.0.1:1", "nats://hunter2@127.0.0.1:1,nats://127.0.0.1:2", "nats://user:hunter2@[::bad",
	} {
		_, err := broker.Connect(ctx, broker.ConnectConfig{URL: servers})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("connecting to %s gives %v", servers, err)
		}
	}
}
