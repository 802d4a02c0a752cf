package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
)

// ackTimeout bounds one attempt.
const ackTimeout = 5 * time.Second

// Producer publishes readings on one subject. Safe for concurrent use. It works
// while Run does.
type Producer struct {
	o         Options
	conn      *nats.Conn
	publisher *broker.Publisher
	budget    *broker.Budget
	scratch   sync.Pool     // *[]byte, an encoded reading
	wake      chan struct{} // the queue has grown, or a batch was opened
	running   atomic.Bool
	worked    atomic.Bool           // a message was acknowledged
	trouble   atomic.Pointer[error] // of the attempt that failed last
	stats     counters

	mu     sync.Mutex
	open   *batch // being filled
	queue  []*batch
	live   map[*batch]struct{} // without an outcome, all but open
	sized  int                 // bytes of the payload before
	closed bool
}

// Stats counts what a producer took in. Readings is the sum of Stored, Refused,
// Unconfirmed and what has no outcome yet. What Publish did not take in is not
// counted.
type Stats struct {
	Readings    int64
	Stored      int64
	Refused     int64 // certainly not stored
	Unconfirmed int64 // stored or not

	Messages int64 // that were made
	Bytes    int64 // of their payloads
	Resent   int64 // attempts beyond the first of each
}

type counters struct {
	readings, stored, refused, unconfirmed, messages, bytes, resent atomic.Int64
}

// New returns a producer on the connection, domain and API prefix of js. It holds
// nothing that must be closed; one subscription stays with the connection.
func New(js jetstream.JetStream, o Options) (*Producer, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("new producer: %w", err)
	}
	publisher, err := broker.NewPublisher(js, broker.PublisherConfig{AckTimeout: min(ackTimeout, o.Timeout)})
	if err != nil {
		return nil, fmt.Errorf("new producer: %w", err)
	}
	p := &Producer{
		o: o, conn: js.Conn(), publisher: publisher, budget: broker.NewBudget(int64(o.Buffer)),
		wake: make(chan struct{}, 1), live: make(map[*batch]struct{}),
	}
	p.scratch.New = func() any { return new([]byte) }
	return p, nil
}

// Publish takes readings in, waiting while the buffer is full, and returns a receipt
// for them at once: it does not wait until they are stored. Readings that could not
// be taken in, because they are wrong, ctx ended or the producer is closed, have
// their outcome in the receipt already. The slice may be used again.
//
// Where ctx has a span that is sampled, the messages' headers have its context (W3C
// Trace Context), and the platform's spans of these readings are in its trace or linked
// to it. Readings of another such span go into another message.
func (p *Producer) Publish(ctx context.Context, readings ...reading.Reading) *Receipt {
	receipt := newReceipt(len(readings))
	one := p.scratch.Get().(*[]byte)
	defer p.scratch.Put(one)
	from := trace.SpanContextFromContext(ctx)
	if !from.IsSampled() {
		from = trace.SpanContext{}
	}
	for i := range readings {
		r := &readings[i]
		err := p.fault(r)
		if err == nil {
			*one = p.o.encode((*one)[:0], r)
			if limit := p.limit(); len(*one)+frame > limit {
				err = fmt.Errorf("has %d bytes: at most %d fit into a message", len(*one), max(limit-frame, 0))
			}
		}
		if err != nil {
			receipt.settle(i, i+1, Outcome{Err: &ReadingError{Reading: *r, Err: err}})
			continue
		}
		if err := p.take(ctx, *one, receipt, i, from); err != nil {
			receipt.settle(i, len(readings), Outcome{Err: err})
			break
		}
	}
	return receipt
}

// limit is how large a payload may be. It asks the connection each time: another
// server may take another size.
func (p *Producer) limit() int {
	limit := min(p.o.MaxBytes, p.o.Buffer/2-overhead)
	if most := int(p.conn.MaxPayload()); most > 0 {
		limit = min(limit, most-headers)
	}
	return max(limit, 0)
}

// take adds reading i of a call to the open batch.
func (p *Producer) take(
	ctx context.Context, one []byte, receipt *Receipt, i int, from trace.SpanContext,
) error {
	// The open batch has no more than half of the buffer, so what fills it is sent and
	// comes free without anybody's help.
	if err := p.budget.Acquire(ctx, len(one)+overhead); err != nil {
		return fmt.Errorf("not sent, the buffer of %d bytes is full: %w", p.o.Buffer, p.because(err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.budget.Release(len(one) + overhead)
		return ErrClosed
	}
	if p.open != nil && !p.open.fits(one, p.o.Buffer/2, from) {
		p.sealLocked()
	}
	if p.open == nil {
		p.open = &batch{
			limit: p.limit(), due: time.Now().Add(p.o.Linger), done: make(chan struct{}),
			payload: make([]byte, 0, p.sized+p.sized/8),
		}
		p.signal()
	}
	if from.IsValid() {
		p.open.from = from
	}
	p.open.add(&p.o, one, receipt, i)
	p.stats.readings.Add(1)
	if p.open.readings >= p.o.MaxReadings {
		p.sealLocked()
	}
	return nil
}

// because adds what keeps messages from being stored, if that is known.
func (p *Producer) because(err error) error {
	if trouble := p.trouble.Load(); trouble != nil {
		return errors.Join(err, p.explain(*trouble))
	}
	return err
}

// sealLocked moves the open batch to the queue.
func (p *Producer) sealLocked() {
	b := p.open
	if b == nil {
		return
	}
	p.open = nil
	b.sealed, p.sized = time.Now(), len(b.payload)
	p.queue = append(p.queue, b)
	p.live[b] = struct{}{}
	p.signal()
}

// signal wakes Run. A signal that waits is as good as two.
func (p *Producer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Flush sends what waits for company and returns when all that was taken in before
// has its outcome: nil if it is stored, else the first error. When ctx ends first,
// that is an [ErrPending].
func (p *Producer) Flush(ctx context.Context) error {
	p.mu.Lock()
	p.sealLocked()
	live := make([]*batch, 0, len(p.live))
	for b := range p.live {
		live = append(live, b)
	}
	p.mu.Unlock()
	var first error
	for _, b := range live {
		select {
		case <-b.done:
			if first == nil {
				first = b.err
			}
		case <-ctx.Done():
			return fmt.Errorf("flush: %w: %w", ErrPending, ctx.Err())
		}
	}
	return first
}

// Stats returns the counts so far.
func (p *Producer) Stats() Stats {
	s := &p.stats
	return Stats{
		Readings: s.readings.Load(), Stored: s.stored.Load(), Refused: s.refused.Load(),
		Unconfirmed: s.unconfirmed.Load(), Messages: s.messages.Load(), Bytes: s.bytes.Load(), Resent: s.resent.Load(),
	}
}
