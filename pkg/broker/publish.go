package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/energy-platform/energy/pkg/tracing"
)

// Defaults and bounds of PublisherConfig.
const (
	DefaultInFlight   = 32 << 20
	DefaultAckTimeout = 10 * time.Second

	// maxInFlight stays below the 128 MiB that the broker queues for one stream
	// before it drops messages in the middle of a flow (429, err_code 10167).
	maxInFlight = 96 << 20

	// maxPending bounds unconfirmed messages by count. Beyond its own bound
	// nats.go fails a publish after a short stall, so that bound must never be
	// reached: each message counts at least InFlight/maxPending bytes.
	maxPending = 16 << 10
)

// Ack is JetStream's word that a message is stored.
type Ack struct {
	Stream   string
	Sequence uint64
}

// PublisherConfig has the bounds of a Publisher.
type PublisherConfig struct {
	// InFlight bounds the bytes of unconfirmed messages over all callers. It is
	// not drawn from a Budget, see there. 0 is [DefaultInFlight].
	InFlight int
	// AckTimeout is how long a confirmation may take; 0 is [DefaultAckTimeout].
	AckTimeout time.Duration
}

// Publisher publishes messages asynchronously and waits for all confirmations.
// Safe for concurrent use.
type Publisher struct {
	js       jetstream.JetStream
	inFlight *semaphore.Weighted
	size     int64
	least    int64
}

// NewPublisher returns a publisher on the connection, domain and API prefix of js.
func NewPublisher(js jetstream.JetStream, cfg PublisherConfig) (*Publisher, error) {
	if cfg.InFlight <= 0 {
		cfg.InFlight = DefaultInFlight
	}
	if cfg.AckTimeout <= 0 {
		cfg.AckTimeout = DefaultAckTimeout
	}
	size := int64(min(cfg.InFlight, maxInFlight))
	own, err := sameJetStream(js,
		jetstream.WithPublishAsyncMaxPending(maxPending+1),
		jetstream.WithPublishAsyncTimeout(cfg.AckTimeout))
	if err != nil {
		return nil, fmt.Errorf("new publisher: %w", err)
	}
	return &Publisher{
		js: own, inFlight: semaphore.NewWeighted(size), size: size, least: max(size/maxPending, 1),
	}, nil
}

// sameJetStream is another JetStream context like js: publish options belong to
// the context, and this publisher's must not be shared.
func sameJetStream(js jetstream.JetStream, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	have := js.Options()
	switch {
	case have.Domain != "":
		return jetstream.NewWithDomain(js.Conn(), have.Domain, opts...)
	case have.APIPrefix != "":
		return jetstream.NewWithAPIPrefix(js.Conn(), have.APIPrefix, opts...)
	default:
		return jetstream.New(js.Conn(), opts...)
	}
}

// Sent is a message that awaits its confirmation.
type Sent struct {
	p      *Publisher
	m      *nats.Msg
	future jetstream.PubAckFuture
}

// Send publishes a message as soon as there is room for it, and does not wait for
// the confirmation: [Sent.Wait] does, and must be called once, since the message
// takes room until then. Send waits for that room, so a caller that holds messages
// whose Wait nobody else calls must not Send another.
//
// An error is a *[PublishError]. If ctx ended, or by [IsRefusal], the message was
// not sent.
func (p *Publisher) Send(ctx context.Context, m *nats.Msg) (Sent, error) {
	if err := p.inFlight.Acquire(ctx, p.weight(m)); err != nil {
		return Sent{}, &PublishError{Subject: m.Subject, Err: err}
	}
	return p.start(m)
}

// start sends a message whose room is taken; without success it gives the room back.
func (p *Publisher) start(m *nats.Msg) (Sent, error) {
	future, err := p.js.PublishMsgAsync(m)
	if err != nil {
		p.inFlight.Release(p.weight(m))
		return Sent{}, &PublishError{Subject: m.Subject, Err: classify(err)}
	}
	return Sent{p: p, m: m, future: future}, nil
}

// Wait waits for the confirmation. When ctx has ended it does not wait, but still
// takes what is there. After an error, a *[PublishError], the message may be stored
// all the same unless [IsRefusal].
func (f Sent) Wait(ctx context.Context) (Ack, error) {
	defer f.p.inFlight.Release(f.p.weight(f.m))
	ok, failed := f.future.Ok(), f.future.Err()
	select {
	case ack := <-ok:
		return Ack{Stream: ack.Stream, Sequence: ack.Sequence}, nil
	case err := <-failed:
		return Ack{}, &PublishError{Subject: f.m.Subject, Err: classify(err)}
	default:
	}
	select {
	case ack := <-ok:
		return Ack{Stream: ack.Stream, Sequence: ack.Sequence}, nil
	case err := <-failed:
		return Ack{}, &PublishError{Subject: f.m.Subject, Err: classify(err)}
	case <-ctx.Done():
		return Ack{}, &PublishError{Subject: f.m.Subject, Err: ctx.Err()}
	}
}

// PublishAll publishes msgs in order and returns when JetStream has confirmed
// all, or when nothing more is to be expected. acks[i] belongs to msgs[i]; after
// an error the Sequence of a message that was not confirmed is 0. Such a message
// may be stored all the same, and messages after a failed one may be stored too:
// a retry can double, never lose.
//
// Messages that have no trace context in their headers get that of ctx, if it has one.
//
// An error is a *[PublishError], or ctx's. Ask [IsRetryable].
func (p *Publisher) PublishAll(ctx context.Context, msgs []*nats.Msg) ([]Ack, error) {
	tracing.Inject(ctx, msgs...)
	f := flight{p: p, msgs: msgs, acks: make([]Ack, len(msgs)), pending: make([]Sent, len(msgs))}
	for f.sent < len(msgs) && f.err == nil {
		f.send(ctx)
	}
	for f.done < f.sent {
		f.harvest(ctx)
	}
	return f.acks, f.err
}

// Deliver publishes msgs as PublishAll does, and again what was not confirmed when
// the error [IsRetryable], until ctx ends. Told hears how it goes as of
// [Backoff.Retry], acked of each attempt what was confirmed; either may be nil.
func (p *Publisher) Deliver(
	ctx context.Context, msgs []*nats.Msg, told func(error), acked func([]*nats.Msg, []Ack),
) error {
	if told == nil {
		told = func(error) {}
	}
	return new(Backoff).Retry(ctx, IsRetryable, told, func() error {
		acks, err := p.PublishAll(ctx, msgs)
		if acked != nil {
			acked(msgs, acks)
		}
		msgs = unconfirmed(msgs, acks)
		return err
	})
}

// unconfirmed returns the messages that have no acknowledgement.
func unconfirmed(msgs []*nats.Msg, acks []Ack) []*nats.Msg {
	left := make([]*nats.Msg, 0, len(msgs))
	for i, m := range msgs {
		if acks[i].Sequence == 0 {
			left = append(left, m)
		}
	}
	return left
}

// flight is one PublishAll: messages done…sent−1 are unconfirmed.
type flight struct {
	p       *Publisher
	msgs    []*nats.Msg
	acks    []Ack
	pending []Sent
	sent    int
	done    int
	err     error
}

// send publishes the next message as soon as there is room. It waits for room
// only while it holds none, so two callers never wait for each other.
func (f *flight) send(ctx context.Context) {
	m := f.msgs[f.sent]
	for !f.p.inFlight.TryAcquire(f.p.weight(m)) {
		if f.done == f.sent {
			f.sentOne(f.p.Send(ctx, m))
			return
		}
		if f.harvest(ctx); f.err != nil {
			return
		}
	}
	f.sentOne(f.p.start(m))
}

// sentOne notes what became of sending the next message.
func (f *flight) sentOne(sent Sent, err error) {
	if err != nil {
		f.fail(err)
		return
	}
	f.pending[f.sent] = sent
	f.sent++
}

// harvest waits for the oldest unconfirmed message.
func (f *flight) harvest(ctx context.Context) {
	i := f.done
	f.done++
	ack, err := f.pending[i].Wait(ctx)
	f.pending[i] = Sent{}
	if err != nil {
		f.fail(err)
		return
	}
	f.acks[i] = ack
}

// fail keeps the first error, but a permanent one before any other: it decides
// what the caller has to do.
func (f *flight) fail(err error) {
	if f.err == nil || IsRetryable(f.err) && !IsRetryable(err) {
		f.err = err
	}
}

func (p *Publisher) weight(m *nats.Msg) int64 {
	return min(max(int64(m.Size()), p.least), p.size)
}
