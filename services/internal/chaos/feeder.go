package chaos

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/services/internal/generate"
)

const (
	perMessage = 200 // deliveries
	inFlight   = 64  // messages
	mixed      = 64  // messages among which the next one is drawn
	remembered = 256 // messages that may be sent again
)

// feeder publishes what a fleet sends, in an order of its own, each message until
// JetStream acknowledges it, and remembers what was acknowledged.
type feeder struct {
	server *server
	dice   *rand.Rand // the sending goroutine's own
	keep   bool       // what is acknowledged, for when it is lost
	rate   int        // deliveries a second at most; 0: any

	total   int          // deliveries
	sent    atomic.Int64 // of them
	over    atomic.Bool  // all are acknowledged
	refused atomic.Int64 // publishes, for want of room
	gate    gate

	// turn is held for reading by each attempt to publish, for writing by who must
	// know that none is under way.
	turn sync.RWMutex

	mu     sync.Mutex
	acked  map[uint64]uint32 // by sequence: checksums of what was acknowledged
	count  int               // acknowledgements
	since  []letter          // acknowledged since the last mark, with keep
	again  []letter          // to be sent again
	recent []letter          // ring
	next   int               // in recent
}

// letter is a message on its way.
type letter struct {
	message  *nats.Msg
	sequence uint64 // once it is acknowledged
}

func newFeeder(s *server, f *fleet.Fleet, c *Config) *feeder {
	totals := f.Totals()
	return &feeder{
		server: s, dice: dice(c.Seed, 1), keep: c.OlderTails > 0, rate: c.Rate, total: int(totals.Deliveries),
		acked: make(map[uint64]uint32), gate: newGate(),
	}
}

// run publishes all of a fleet's messages and returns when all are acknowledged.
func (f *feeder) run(ctx context.Context, from *fleet.Fleet) error {
	publisher, conn, err := f.publisher(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	send, ctx := errgroup.WithContext(ctx)
	send.SetLimit(inFlight)
	began := time.Now()
	for m := range f.shuffled(from) {
		if f.gate.wait(ctx, float64(f.sent.Load())/float64(f.total)) != nil || f.pace(ctx, began) != nil {
			break
		}
		f.sent.Add(int64(m.Deliveries))
		one := letter{message: &nats.Msg{
			Subject: "readings.fleet", Data: m.Payload, Header: nats.Header{"Content-Type": {m.ContentType}},
		}}
		send.Go(func() error { return f.deliver(ctx, publisher, one) })
		f.repeat(ctx, publisher, send)
	}
	err = send.Wait()
	f.over.Store(err == nil)
	return err
}

// pace waits until the next message is due.
func (f *feeder) pace(ctx context.Context, began time.Time) error {
	if f.rate == 0 {
		return nil
	}
	due := began.Add(time.Duration(float64(f.sent.Load()) / float64(f.rate) * float64(time.Second)))
	return pause(ctx, time.Until(due))
}

// finish publishes again what is still to be.
func (f *feeder) finish(ctx context.Context) error {
	publisher, conn, err := f.publisher(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	send, ctx := errgroup.WithContext(ctx)
	send.SetLimit(inFlight)
	f.repeat(ctx, publisher, send)
	return send.Wait()
}

func (f *feeder) publisher(ctx context.Context) (*broker.Publisher, *nats.Conn, error) {
	conn, js, err := f.server.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	publisher, err := broker.NewPublisher(js, broker.PublisherConfig{})
	return publisher, conn, err
}

// repeat publishes what was lost.
func (f *feeder) repeat(ctx context.Context, publisher *broker.Publisher, send *errgroup.Group) {
	f.mu.Lock()
	again := f.again
	f.again = nil
	f.mu.Unlock()
	for _, one := range again {
		send.Go(func() error { return f.deliver(ctx, publisher, one) })
	}
}

// shuffled yields a fleet's messages out of order.
func (f *feeder) shuffled(from *fleet.Fleet) iter.Seq[generate.Message] {
	return func(yield func(generate.Message) bool) {
		var waiting []generate.Message
		draw := func() bool {
			i, last := f.dice.IntN(len(waiting)), len(waiting)-1
			m := waiting[i]
			waiting[i], waiting = waiting[last], waiting[:last]
			return yield(m)
		}
		for m := range generate.Messages(from, generate.Protobuf, perMessage) {
			if waiting = append(waiting, m); len(waiting) >= mixed && !draw() {
				return
			}
		}
		for len(waiting) > 0 && draw() {
		}
	}
}

// deliver publishes a message until it is acknowledged.
func (f *feeder) deliver(ctx context.Context, publisher *broker.Publisher, one letter) error {
	var backoff broker.Backoff
	for {
		err := f.attempt(ctx, publisher, one)
		if err == nil {
			return nil
		}
		if errors.Is(err, broker.ErrStreamFull) {
			f.refused.Add(1)
		}
		if !broker.IsRetryable(err) {
			return fmt.Errorf("publish: %w", err)
		}
		if err := backoff.Wait(ctx); err != nil {
			return err
		}
	}
}

// attempt publishes a message once. One that is acknowledged is noted before another has
// the turn, who may take it back.
func (f *feeder) attempt(ctx context.Context, publisher *broker.Publisher, one letter) error {
	f.turn.RLock()
	defer f.turn.RUnlock()
	sent, err := publisher.Send(ctx, one.message)
	if err != nil {
		return err
	}
	ack, err := sent.Wait(ctx)
	if err == nil {
		one.sequence = ack.Sequence
		f.note(one)
	}
	return err
}

func checksum(data []byte) uint32 { return crc32.ChecksumIEEE(data) }

// note remembers a message that was acknowledged.
func (f *feeder) note(one letter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked[one.sequence] = checksum(one.message.Data)
	f.count++
	if f.keep {
		f.since = append(f.since, one)
	}
	if len(f.recent) < remembered {
		f.recent = append(f.recent, one)
		return
	}
	f.recent[f.next] = one
	f.next = (f.next + 1) % remembered
}

// acknowledged is how many messages were.
func (f *feeder) acknowledged() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// mark begins anew to keep what is acknowledged. The caller holds turn.
func (f *feeder) mark() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = nil
}

// lose takes back what was acknowledged since the mark: it is sent again. The caller
// holds turn.
func (f *feeder) lose() (lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.since {
		delete(f.acked, one.sequence)
	}
	lost = len(f.since)
	f.again = append(f.again, f.since...)
	f.since = nil
	return lost
}

// flood publishes that many messages: of those that were sent lately, again, or what
// make gives. It returns when all are acknowledged.
func (f *feeder) flood(ctx context.Context, n int, next func() *nats.Msg) error {
	publisher, conn, err := f.publisher(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	send, ctx := errgroup.WithContext(ctx)
	send.SetLimit(inFlight)
	for range n {
		m := next()
		if m == nil {
			break
		}
		send.Go(func() error { return f.deliver(ctx, publisher, letter{message: m}) })
	}
	return send.Wait()
}

// old returns a message that was sent lately, nil when there is none.
func (f *feeder) old(d *rand.Rand) *nats.Msg {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.recent) == 0 {
		return nil
	}
	return f.recent[d.IntN(len(f.recent))].message
}

// gate lets the feeder go on as far as the faults have come, so that each of them
// falls into traffic.
type gate struct {
	mu     sync.Mutex
	open   float64 // share of the messages that may be sent
	passed float64 // share that was let through
	moved  chan struct{}
}

func newGate() gate { return gate{moved: make(chan struct{})} }

// wait returns once a share may be sent.
func (g *gate) wait(ctx context.Context, share float64) error {
	for {
		g.mu.Lock()
		if share > g.passed {
			g.passed = share
			g.announce()
		}
		open, moved := g.open, g.moved
		g.mu.Unlock()
		if share <= open {
			return ctx.Err()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// announce wakes who waits. The caller holds mu.
func (g *gate) announce() {
	close(g.moved)
	g.moved = make(chan struct{})
}

// let opens the gate up to a share.
func (g *gate) let(share float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = max(g.open, share)
	g.announce()
}

// reached returns once a share was sent.
func (g *gate) reached(ctx context.Context, share float64) error {
	for {
		g.mu.Lock()
		passed, moved := g.passed, g.moved
		g.mu.Unlock()
		if passed >= share {
			return ctx.Err()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
