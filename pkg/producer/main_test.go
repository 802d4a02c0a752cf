package producer_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = time.Minute

func patient(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
	tb.Cleanup(cancel)
	return ctx
}

// connect connects as an application does.
func connect(tb testing.TB, server string) jetstream.JetStream {
	tb.Helper()
	conn, err := broker.Connect(patient(tb), broker.ConnectConfig{URL: server})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	js, err := broker.JetStream(conn)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// provisioned is a broker whose READINGS refuses what is above maxBytes.
func provisioned(tb testing.TB, maxBytes int64) jetstream.JetStream {
	tb.Helper()
	js := connect(tb, natstest.Server(tb).URL())
	provision(tb, js, maxBytes)
	return js
}

func provision(tb testing.TB, js jetstream.JetStream, maxBytes int64) {
	tb.Helper()
	topology := broker.DefaultTopology()
	topology.Limits.Readings = maxBytes
	if err := broker.Provision(patient(tb), js, topology); err != nil {
		tb.Fatal(err)
	}
}

// start runs a producer; stop ends it and returns what Run returned.
func start(tb testing.TB, js jetstream.JetStream, o producer.Options) (p *producer.Producer, stop func() error) {
	tb.Helper()
	p, err := producer.New(js, o)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	var result error
	joined := false
	stop = func() error {
		cancel()
		if !joined {
			result, joined = <-ended, true
		}
		return result
	}
	tb.Cleanup(func() { _ = stop() })
	return p, stop
}

// numbered is reading n: its value tells which.
func numbered(n int) reading.Reading {
	return reading.Reading{
		EntityID: fmt.Sprintf("meter-%d", n%7), Metric: "voltage", Unit: "V", Value: float64(n),
		Time: time.Date(2026, 3, 1, 0, 0, 0, n, time.UTC).UnixNano(), Quality: reading.Actual,
	}
}

func run(from, to int) (readings []reading.Reading) {
	for n := from; n < to; n++ {
		readings = append(readings, numbered(n))
	}
	return readings
}

// stored returns the readings of READINGS by sequence, from the sequence after one
// on, decoded without the product's code.
func stored(tb testing.TB, js jetstream.JetStream, after uint64) map[uint64][]*energyv1.Reading {
	tb.Helper()
	s, err := js.Stream(patient(tb), broker.StreamReadings)
	if err != nil {
		tb.Fatal(err)
	}
	all := make(map[uint64][]*energyv1.Reading)
	for sequence := after + 1; sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		m, err := s.GetMsg(patient(tb), sequence)
		if err != nil {
			tb.Fatal(err)
		}
		var batch energyv1.ReadingBatch
		if kind := m.Header.Get("Content-Type"); kind != "application/x-protobuf; proto=energy.v1.ReadingBatch" {
			tb.Fatalf("content type %q", kind)
		}
		if err := proto.Unmarshal(m.Data, &batch); err != nil {
			tb.Fatal(err)
		}
		all[sequence] = batch.Readings
	}
	return all
}

// truthful checks every outcome of a receipt against the stream: what is stored
// stands exactly there. It returns how many readings are stored and how many are
// certainly not.
func truthful(
	t *testing.T, receipt *producer.Receipt, readings []reading.Reading, all map[uint64][]*energyv1.Reading,
) (found, refused int) {
	t.Helper()
	count := 0
	for i, o := range receipt.Outcomes() {
		count++
		if again := receipt.Outcome(i); again != o {
			t.Errorf("outcome %d is %v and %v", i, o, again)
		}
		if o.Err != nil {
			if !isUnconfirmed(o.Err) {
				refused++
			}
			continue
		}
		found++
		batch := all[o.Sequence]
		if o.Stream != broker.StreamReadings || int(o.Index) >= len(batch) || !same(batch[o.Index], &readings[i]) {
			t.Errorf("reading %d is not at %+v", i, o)
		}
	}
	if count != len(readings) {
		t.Errorf("%d outcomes for %d readings", count, len(readings))
	}
	return found, refused
}

func same(m *energyv1.Reading, r *reading.Reading) bool {
	return m.EntityId == r.EntityID && m.Metric == r.Metric && m.Unit == r.Unit && m.Value == r.Value &&
		m.Time.AsTime().UnixNano() == r.Time && m.Revision == r.Revision && reading.Quality(m.Quality) == r.Quality &&
		m.Length.AsDuration() == r.Length && (m.ExchangeStart != nil) == r.Exchange && m.GetExchangeStart() == r.ExchangeStart
}

// restartable is a server that comes back on the same folder and port.
type restartable struct {
	tb      testing.TB
	options localnats.Options
	server  *localnats.Server
}

func newRestartable(tb testing.TB) *restartable {
	tb.Helper()
	r := &restartable{tb: tb, options: localnats.Options{Dir: tb.TempDir(), MaxStore: natstest.Roomy}}
	r.start()
	tb.Cleanup(r.stop)
	u, err := url.Parse(r.server.URL())
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
	return r
}

func (r *restartable) start() {
	var err error
	if r.server, err = localnats.Start(patient(r.tb), r.options); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *restartable) stop() {
	if err := r.server.Stop(); err != nil {
		r.tb.Error(err)
	}
}

// subscribe sees what is published on readings.>.
func subscribe(tb testing.TB, js jetstream.JetStream) *nats.Subscription {
	tb.Helper()
	sub, err := js.Conn().SubscribeSync("readings.>")
	if err != nil {
		tb.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		tb.Fatal(err)
	}
	return sub
}
