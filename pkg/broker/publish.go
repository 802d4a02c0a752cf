package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
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

// PublishAll publishes msgs in order and returns when JetStream has confirmed
// all, or when nothing more is to be expected. acks[i] belongs to msgs[i]; after
// an error the Sequence of a message that was not confirmed is 0. Such a message
// may be stored all the same, and messages after a failed one may be stored too:
// a retry can double, never lose.
//
// An error is a *[PublishError], or ctx's. Ask [IsRetryable].
func (p *Publisher) PublishAll(ctx context.Context, msgs []*nats.Msg) ([]Ack, error) {
	f := flight{p: p, msgs: msgs, acks: make([]Ack, len(msgs)), futures: make([]jetstream.PubAckFuture, len(msgs))}
	for f.sent < len(msgs) && f.err == nil {
		f.send(ctx)
	}
	for f.done < f.sent {
		f.harvest(ctx)
	}
	return f.acks, f.err
}

// flight is one PublishAll: messages done…sent−1 are unconfirmed.
type flight struct {
	p       *Publisher
	msgs    []*nats.Msg
	acks    []Ack
	futures []jetstream.PubAckFuture
	sent    int
	done    int
	err     error
}

// send publishes the next message as soon as there is room. It waits for room
// only while it holds none, so two callers never wait for each other.
func (f *flight) send(ctx context.Context) {
	m := f.msgs[f.sent]
	weight := f.p.weight(m)
	for !f.p.inFlight.TryAcquire(weight) {
		if f.done < f.sent {
			f.harvest(ctx)
			if f.err != nil {
				return
			}
			continue
		}
		if err := f.p.inFlight.Acquire(ctx, weight); err != nil {
			f.fail(m.Subject, err)
			return
		}
		break
	}
	future, err := f.p.js.PublishMsgAsync(m)
	if err != nil {
		f.p.inFlight.Release(weight)
		f.fail(m.Subject, err)
		return
	}
	f.futures[f.sent] = future
	f.sent++
}

// harvest waits for the oldest unconfirmed message. When ctx has ended it does
// not wait, but still takes what is there.
func (f *flight) harvest(ctx context.Context) {
	i := f.done
	f.done++
	defer f.p.inFlight.Release(f.p.weight(f.msgs[i]))
	ok, failed := f.futures[i].Ok(), f.futures[i].Err()
	f.futures[i] = nil
	select {
	case ack := <-ok:
		f.acks[i] = Ack{Stream: ack.Stream, Sequence: ack.Sequence}
		return
	case err := <-failed:
		f.fail(f.msgs[i].Subject, err)
		return
	default:
	}
	select {
	case ack := <-ok:
		f.acks[i] = Ack{Stream: ack.Stream, Sequence: ack.Sequence}
	case err := <-failed:
		f.fail(f.msgs[i].Subject, err)
	case <-ctx.Done():
		f.fail(f.msgs[i].Subject, ctx.Err())
	}
}

// fail keeps the first error, but a permanent one before any other: it decides
// what the caller has to do.
func (f *flight) fail(subject string, err error) {
	err = &PublishError{Subject: subject, Err: classify(err)}
	if f.err == nil || IsRetryable(f.err) && !IsRetryable(err) {
		f.err = err
	}
}

func (p *Publisher) weight(m *nats.Msg) int64 {
	return min(max(int64(m.Size()), p.least), p.size)
}
