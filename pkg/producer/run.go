package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/tracing"
)

// maxInFlight bounds the messages that are sent and have no outcome.
const maxInFlight = 1024

// idle is how long Run sleeps while no batch is open; the next one wakes it.
const idle = time.Hour

// Run sends what Publish takes in until ctx ends. Then it takes nothing more in,
// gives what is under way until Options.Grace, and returns nil if all of that is
// stored, else an error that says how much is not. It may be called once.
func (p *Producer) Run(ctx context.Context) error {
	if p.running.Swap(true) {
		return errors.New("producer: Run was called before")
	}
	work, cancel := lifecycle.Drain(ctx, p.o.Grace)
	defer cancel()
	var deliveries errgroup.Group
	deliveries.SetLimit(maxInFlight)
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for ctx.Err() == nil {
		batches, wait := p.due(time.Now())
		for _, b := range batches {
			p.send(work, b, &deliveries)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-timer.C:
		}
	}
	before := p.Stats()
	for _, b := range p.close() {
		p.send(work, b, &deliveries)
	}
	_ = deliveries.Wait() // they return nothing
	after := p.Stats()
	if lost := after.Readings - after.Stored - before.Refused - before.Unconfirmed; lost > 0 {
		return fmt.Errorf("producer: %d readings under way at the end are not known to be stored", lost)
	}
	return nil
}

// due takes the batches that are to be sent now, and says how long to wait for the
// next.
func (p *Producer) due(now time.Time) (batches []*batch, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = idle
	if p.open != nil {
		if left := p.open.due.Sub(now); left > 0 {
			wait = left
		} else {
			p.sealLocked()
		}
	}
	batches, p.queue = p.queue, nil
	return batches, wait
}

// close takes the last batches.
func (p *Producer) close() []*batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.sealLocked()
	batches := p.queue
	p.queue = nil
	return batches
}

// send sends a batch, in order with its neighbours, and leaves it to a goroutine of
// its own to wait for the answer and to try again.
func (p *Producer) send(ctx context.Context, b *batch, deliveries *errgroup.Group) {
	m := b.message(&p.o)
	if b.from.IsValid() {
		tracing.Inject(trace.ContextWithSpanContext(ctx, b.from), m)
	}
	p.stats.messages.Add(1)
	p.stats.bytes.Add(int64(len(m.Data)))
	limited, cancel := context.WithDeadline(ctx, b.sealed.Add(p.o.Timeout))
	var sent broker.Sent
	err := limited.Err() // its neighbours may have taken all of its time
	if err == nil {
		sent, err = p.publisher.Send(limited, m)
	}
	deliveries.Go(func() error {
		defer cancel()
		var d delivery
		for {
			left := err == nil
			if left {
				// An attempt that began in time is waited for: it is short, and to cut it
				// would leave open what the answer tells.
				var ack broker.Ack
				if ack, err = sent.Wait(ctx); err == nil {
					p.stored(b, ack)
					return nil
				}
			}
			d.note(err, left)
			if refusal := d.refusal; refusal != nil {
				p.trouble.Store(&refusal)
			}
			if !p.retryable(err) || d.backoff.Wait(limited) != nil {
				p.settle(b, p.outcome(&d, err))
				return nil
			}
			p.stats.resent.Add(1)
			sent, err = p.publisher.Send(limited, m)
		}
	})
}

// delivery is what is known of the attempts with one message.
type delivery struct {
	backoff broker.Backoff
	refusal error // the last one; it tells more than that there was no answer
	doubt   bool  // an attempt ended without an answer
}

// note takes the error of an attempt, whose message left or did not.
func (d *delivery) note(err error, left bool) {
	switch {
	case broker.IsRefusal(err):
		d.refusal = err
	case left || !ended(err):
		d.doubt = true
	}
}

// stored settles a batch that is acknowledged.
func (p *Producer) stored(b *batch, ack broker.Ack) {
	p.worked.Store(true)
	p.trouble.Store(nil)
	p.settle(b, Outcome{Stream: ack.Stream, Sequence: ack.Sequence})
}

// ended reports whether a message waited to be sent until its context ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// settle gives a batch its outcome and frees what it holds.
func (p *Producer) settle(b *batch, o Outcome) {
	n := int64(b.readings)
	switch {
	case o.Err == nil:
		p.stats.stored.Add(n)
	case errors.Is(o.Err, ErrUnconfirmed):
		p.stats.unconfirmed.Add(n)
	default:
		p.stats.refused.Add(n)
	}
	b.settle(o)
	p.mu.Lock()
	delete(p.live, b)
	p.mu.Unlock()
	p.budget.Release(b.held)
}
