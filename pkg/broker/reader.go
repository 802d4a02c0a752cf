package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrStreamMissing says that the stream does not exist.
	ErrStreamMissing = errors.New("stream does not exist")

	// ErrStreamRecreated says that the stream was deleted and made again while
	// it was read: its sequences mean something else now.
	ErrStreamRecreated = errors.New("stream was recreated")

	// ErrBeyondEnd says that reading should go on after a message that the stream
	// does not have: it lost its tail, and may have grown again. See [Verify].
	ErrBeyondEnd = errors.New("position is beyond the end of the stream")

	// ErrReaderClosed is returned after Close.
	ErrReaderClosed = errors.New("reader is closed")
)

// Message is one stored message. Its Data and Header are owned by the receiver.
type Message struct {
	Subject  string
	Header   nats.Header
	Data     []byte
	Sequence uint64    // in the stream
	Received time.Time // when the broker stored it
	Pending  uint64    // messages of the filter still behind this one at delivery

	size int
}

// Size is what the message counts on a [Budget]: subject, headers and data.
func (m *Message) Size() int { return m.size }

// Bounds of ReaderConfig.PullBytes.
const (
	DefaultPullBytes = 1 << 20
	maxPullBytes     = 32 << 20 // half of the broker's bound for a connection
	minPullBytes     = 4 << 10
)

// ReaderConfig says what to read.
type ReaderConfig struct {
	Stream string
	// FilterSubject narrows the stream; empty is all of it.
	FilterSubject string
	// From is the sequence after which to start; 0 is the beginning.
	From uint64
	// Created, if set, is the creation time that the stream must have.
	Created time.Time
	// Received, if set, is when the broker stored the message at From. Another
	// message there means that the stream lost its tail.
	Received time.Time
	// PullBytes bounds what is on its way to the Reader before the caller takes
	// it. A larger message comes alone. 0 is [DefaultPullBytes].
	PullBytes int
	// Budget, if set, is drawn on by NextBatch.
	Budget *Budget
	Logger *slog.Logger
}

// Reader reads a stream in order, without acknowledgements. It is used by one
// goroutine.
//
// It is exact because it counts: the broker numbers what it delivers to a
// consumer, and any gap, reconnect, silence or vanished consumer makes the
// Reader open a new consumer after the last sequence that it has delivered. It
// is bounded because the bytes that the broker may still send are known exactly:
// both sides count the same sizes, and every end of a pull returns the rest.
type Reader struct {
	js  jetstream.JetStream
	cfg ReaderConfig
	log *slog.Logger

	feed    *feed     // nil: to be opened
	created time.Time // of the stream, from the first opening
	last    uint64    // last delivered stream sequence
	lastAt  time.Time // when the broker stored it; zero: nothing delivered yet
	opened  uint64
	closed  bool
	held    Message // taken from the feed, refused by the budget
	hasHeld bool
	backoff Backoff
	trouble string // last error of an opening that was logged
	silence *time.Timer
	heard   uint64 // see watchSilence
	linger  *time.Timer
	sized   int // messages of the last batch, to size the next
}

// OpenReader starts to read. Errors: [ErrStreamMissing], [ErrStreamRecreated],
// [ErrBeyondEnd], or the broker's.
func OpenReader(ctx context.Context, js jetstream.JetStream, cfg ReaderConfig) (*Reader, error) {
	if cfg.PullBytes == 0 {
		cfg.PullBytes = DefaultPullBytes
	}
	cfg.PullBytes = min(max(cfg.PullBytes, minPullBytes), maxPullBytes)
	r := &Reader{
		js: js, cfg: cfg, log: logger(cfg.Logger).With("stream", cfg.Stream, "filter", cfg.FilterSubject),
		created: cfg.Created, last: cfg.From, lastAt: cfg.Received,
		// An attempt without a connection costs nothing, so it may be made often.
		backoff: Backoff{Min: 50 * time.Millisecond, Max: time.Second},
		silence: stoppedTimer(), linger: stoppedTimer(),
	}
	if err := r.open(ctx); err != nil {
		return nil, fmt.Errorf("open reader of %s: %w", cfg.Stream, err)
	}
	return r, nil
}

// Next returns the next message. It waits, also for a broker that is away; it
// fails when ctx ends or with an error that no waiting mends: [ErrStreamMissing],
// [ErrStreamRecreated], [ErrBeyondEnd], [ErrReaderClosed]. An error of ctx
// loses nothing: the next call goes on.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	m, err := r.next(ctx, nil)
	if err != nil {
		return Message{}, fmt.Errorf("read %s after %d: %w", r.cfg.Stream, r.last, err)
	}
	return m, nil
}

// Created is when the stream was made.
func (r *Reader) Created() time.Time { return r.created }

// Openings counts how often the Reader has begun, at first 1. A stage that sees
// it change calls [Verify] with its stored position before it goes on: what the
// Reader checks by itself is the input, not what the stage has written.
func (r *Reader) Openings() uint64 { return r.opened }

// Close ends the reading and lets the broker forget it.
func (r *Reader) Close() {
	r.closed = true
	r.dropFeed()
	r.silence.Stop()
	r.linger.Stop()
}

// errLinger ends a wait for further messages of a batch.
var errLinger = errors.New("linger elapsed")

// next returns the held message or waits for one. With stop it waits for a
// further message of a batch: a tick ends that with errLinger, and so does the
// loss of the feed, since a batch must not wait for a broker to come back.
func (r *Reader) next(ctx context.Context, stop <-chan time.Time) (Message, error) {
	if r.hasHeld {
		r.hasHeld = false
		m := r.held
		r.held = Message{}
		return m, nil
	}
	for {
		if r.closed {
			return Message{}, ErrReaderClosed
		}
		if r.feed == nil && stop != nil {
			return Message{}, errLinger
		}
		if r.feed == nil {
			if err := r.reopen(ctx); err != nil {
				return Message{}, err
			}
		}
		raw, err := r.receive(ctx, stop)
		if err != nil {
			return Message{}, err
		}
		if raw == nil {
			continue
		}
		m, ok, reason := r.feed.take(raw)
		if reason != "" {
			r.fail(reason)
			continue
		}
		if !ok {
			continue
		}
		if m.Sequence <= r.last {
			r.fail("stream sequence went back")
			continue
		}
		r.last, r.lastAt = m.Sequence, m.Received
		return m, nil
	}
}

// receive waits for one raw message. A nil message means: look again.
func (r *Reader) receive(ctx context.Context, stop <-chan time.Time) (*nats.Msg, error) {
	f := r.feed
	select {
	case raw := <-f.msgs:
		return raw, nil
	default:
	}
	select {
	case raw := <-f.msgs:
		return raw, nil
	case <-stop:
		return nil, errLinger
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-f.status:
		r.fail("connection changed")
	case <-r.silence.C:
		// The timer is not reset for each message. It may also have rung while
		// nobody read; heartbeats that came meanwhile were taken before.
		if f.heard == r.heard {
			r.fail("broker went silent")
		} else {
			r.watchSilence()
		}
	}
	return nil, nil
}

// watchSilence lets the timer ring after maxSilence; r.heard tells what had been
// heard from the feed when it was set.
func (r *Reader) watchSilence() {
	r.heard = r.feed.heard
	r.silence.Reset(maxSilence)
}

// fail drops the feed; the next turn opens a new one after the last sequence.
func (r *Reader) fail(reason string) {
	r.log.Warn("reader reopens", "reason", reason, "after", r.last)
	r.dropFeed()
}

// reopen opens until it succeeds, ctx ends, or the error is final.
func (r *Reader) reopen(ctx context.Context) error {
	for {
		err := r.open(ctx)
		if err == nil {
			r.backoff.Reset()
			r.trouble = ""
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrStreamMissing) || errors.Is(err, ErrStreamRecreated) || errors.Is(err, ErrBeyondEnd) ||
			errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if text := err.Error(); text != r.trouble {
			r.trouble = text
			r.log.Warn("reader cannot open", "after", r.last, "error", err)
		}
		if err := r.backoff.Wait(ctx); err != nil {
			return err
		}
	}
}

func (r *Reader) open(ctx context.Context) error {
	f, err := openFeed(ctx, r.js, r.cfg, r.last)
	if err != nil {
		return err
	}
	// The consumer was there before this look at the stream: were the stream
	// replaced in between, the consumer would have gone with it.
	info, err := streamInfo(ctx, r.js, r.cfg.Stream)
	if err == nil {
		err = r.checkStream(ctx, info)
	}
	if err != nil {
		f.close()
		return err
	}
	r.feed = f
	r.opened++
	r.watchSilence()
	return nil
}

func (r *Reader) checkStream(ctx context.Context, info *jetstream.StreamInfo) error {
	if r.created.IsZero() {
		r.created = info.Created
	}
	if !r.created.Equal(info.Created) {
		return fmt.Errorf("%w: made %s, expected %s", ErrStreamRecreated,
			info.Created.UTC().Format(time.RFC3339Nano), r.created.UTC().Format(time.RFC3339Nano))
	}
	if info.State.LastSeq < r.last {
		return fmt.Errorf("%w: position %d, end %d", ErrBeyondEnd, r.last, info.State.LastSeq)
	}
	if !r.lastAt.IsZero() && info.Config.AllowDirect {
		m, err := storedMessage(ctx, r.js, r.cfg.Stream, r.last)
		if err != nil {
			return err
		}
		if m != nil && !m.received.Equal(r.lastAt) {
			return fmt.Errorf("%w: sequence %d was used again", ErrBeyondEnd, r.last)
		}
	}
	if r.last > 0 && info.State.FirstSeq > r.last+1 {
		r.log.Warn("stream begins after the position", "after", r.last, "first", info.State.FirstSeq)
	}
	return nil
}

func (r *Reader) dropFeed() {
	if r.feed != nil {
		r.feed.close()
		r.feed = nil
	}
}

func streamInfo(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	s, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrStreamMissing, name)
	}
	if err != nil {
		return nil, fmt.Errorf("info of stream %s: %w", name, err)
	}
	return s.CachedInfo(), nil
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
