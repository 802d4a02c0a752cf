package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

// Bounds of what is in flight.
const (
	maxInFlight = 8 << 20 // bytes
	maxWindow   = 2048    // messages

	ackTimeout = 5 * time.Second // of one attempt
	grace      = 2 * time.Second // for answers once publishing has failed
)

// sink publishes messages in order and answers for each. The platform's
// broker.Publisher tells one error for many messages; a receipt needs each
// message's own. It is used by one goroutine.
//
// The subscription for the answers ends with the connection. Ending it earlier
// (CleanupPublisher) races in nats.go 1.55 with the goroutine that the first
// publish starts, which may then wait for ever.
type sink struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	subject string
	timeout time.Duration
	window  []*message // in flight, oldest first
	bytes   int
	receipt *Receipt
}

// message is a message in flight.
type message struct {
	*nats.Msg
	readings int
	future   jetstream.PubAckFuture
	failed   error // it could not be sent
	doubt    bool  // an attempt ended without an answer
}

func newSink(nc *nats.Conn, o *Options, receipt *Receipt) (*sink, error) {
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(maxWindow+1),
		jetstream.WithPublishAsyncTimeout(min(ackTimeout, o.Timeout)))
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &sink{nc: nc, js: js, subject: o.Subject, timeout: o.Timeout, receipt: receipt}, nil
}

// publish sends a batch as soon as there is room for it.
func (s *sink) publish(ctx context.Context, b batch) error {
	for len(s.window) > 0 && (s.bytes+len(b.payload) > maxInFlight || len(s.window) == maxWindow) {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	m := &message{Msg: nats.NewMsg(s.subject), readings: b.readings}
	m.Data = b.payload
	m.Header.Set("Content-Type", b.contentType)
	s.window = append(s.window, m)
	s.bytes += len(m.Data)
	s.receipt.Messages++
	s.receipt.Bytes += int64(len(m.Data))
	s.receipt.Published += int64(m.readings)
	s.send(m)
	return nil
}

func (s *sink) send(m *message) { m.future, m.failed = s.js.PublishMsgAsync(m.Msg) }

// drain waits for every answer.
func (s *sink) drain(ctx context.Context) error {
	for len(s.window) > 0 {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until the oldest message is acknowledged and sends again where that
// can help.
func (s *sink) settle(ctx context.Context) error {
	m := s.window[0]
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	backoff := broker.Backoff{Max: time.Second}
	var refusal error // tells more than that the last attempt had no answer
	for {
		err := s.await(limited, m)
		if isRefusal(err) {
			refusal = err
		}
		switch {
		case err == nil:
			return nil
		case !s.retryable(err), limited.Err() != nil, backoff.Wait(limited) != nil:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return s.explain(cmp.Or(refusal, err))
		}
		s.resend()
	}
}

// resend sends again, in order, what has failed so far and may yet succeed: a
// lost connection fails the whole window, which is not to wait message by message.
func (s *sink) resend() {
	for _, m := range s.window {
		if m.failed == nil {
			select {
			case err := <-m.future.Err():
				_ = m.fail(err) // noted
			default:
			}
		}
		if m.failed != nil && s.retryable(m.failed) {
			s.receipt.Resent++
			s.send(m)
		}
	}
}

// await waits for the answer to the oldest message and takes it out of the window
// when it is stored.
func (s *sink) await(ctx context.Context, m *message) error {
	if m.failed != nil {
		return m.failed
	}
	ok, failed := m.future.Ok(), m.future.Err()
	select {
	case <-ctx.Done(): // an answer that is there counts all the same
		select {
		case ack := <-ok:
			return s.stored(m, ack)
		case err := <-failed:
			return m.fail(err)
		default:
			return jetstream.ErrAsyncPublishTimeout
		}
	case ack := <-ok:
		return s.stored(m, ack)
	case err := <-failed:
		return m.fail(err)
	}
}

// stored takes the oldest message, which is acknowledged, out of the window.
func (s *sink) stored(m *message, ack *jetstream.PubAck) error {
	s.receipt.acknowledge(m.readings, ack.Stream, ack.Sequence)
	s.bytes -= len(m.Data)
	s.window[0] = nil
	s.window = s.window[1:]
	return nil
}

// fail notes an answer that is no acknowledgement.
func (m *message) fail(err error) error {
	m.failed = err
	m.doubt = m.doubt || !isRefusal(err)
	return err
}

// abandon counts what is in flight: answers that have come or come at once, and
// the rest.
func (s *sink) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	for len(s.window) > 0 {
		m := s.window[0]
		if s.await(ctx, m) == nil {
			continue
		}
		if m.doubt || m.failed == nil {
			s.receipt.Unconfirmed += int64(m.readings)
		} else {
			s.receipt.Refused += int64(m.readings)
		}
		s.window = s.window[1:]
	}
}

// isRefusal reports whether an answer says that the message is not stored.
func isRefusal(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// isMissing reports whether nothing takes the subject. A broker that restarts
// answers like that too.
func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

func (s *sink) retryable(err error) bool {
	if isMissing(err) && s.receipt.Acknowledged == 0 {
		return false // it never worked
	}
	return broker.IsRetryable(err)
}

const again = "publishing the file again is safe: what is stored already does not count twice"

// explain says to people what ended the publishing.
func (s *sink) explain(err error) error {
	var api *jetstream.APIError
	switch {
	case isMissing(err):
		return fmt.Errorf("streams are not provisioned: run energy migrate (no stream takes %s): %w",
			s.subject, errors.Join(broker.ErrNotProvisioned, err))
	case errors.As(err, &api) && isFull(api):
		return fmt.Errorf("%w (%s) and refused readings for %s: see energy status, "+
			"and give the stream more room with energy migrate --readings-bytes; %s",
			broker.ErrStreamFull, api.Description, s.timeout, again)
	case errors.As(err, &api):
		return fmt.Errorf("the broker refused a message: %w", err)
	}
	if last := s.nc.LastError(); last != nil && !errors.Is(err, last) {
		err = errors.Join(err, last) // a missing permission is told here only
	}
	if !s.nc.IsConnected() {
		return fmt.Errorf("the connection to the broker was lost and did not come back within %s; %s: %w",
			s.timeout, again, err)
	}
	return fmt.Errorf("no acknowledgement from %s within %s; %s: %w", s.nc.ConnectedUrlRedacted(), s.timeout, again, err)
}

// isFull reports whether a stream, or the broker's storage, is at its limit.
func isFull(api *jetstream.APIError) bool {
	return strings.Contains(api.Description, "maximum") || strings.Contains(api.Description, "insufficient")
}
