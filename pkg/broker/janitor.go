package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ReadMark is a reader of a stream as the janitor sees it: what it has not read is kept.
type ReadMark struct {
	Reader  string // for people, such as "silver.3"
	Subject string // that it reads; empty: all
	// Sequence is up to where it has read. A reader that has not begun is at 0.
	Sequence uint64
	// Received, if set, is when the broker stored the message at Sequence; see
	// [Position].
	Received time.Time
	// Until, if not 0, is the last sequence that it will read.
	Until uint64
	// Settled says that the reader has read on, and Sequence is up to where what became
	// of it cannot be lost any more.
	Settled bool
}

// Keep says how much is kept of what all readers have read.
type Keep struct {
	// Age is how long: from when the broker stored a message.
	Age time.Duration
	// Above the share Shrink of the stream's limit less is kept, down to Ease of it,
	// whatever its age. Both are from 0 to 1; a stream without a limit is not shrunk.
	Shrink, Ease float64
}

// Swept is a stream after Sweep.
type Swept struct {
	StreamStatus
	Removed uint64 // messages
	Shrunk  bool   // more was removed than Age asked for
	// Unread is the first sequence that some reader has still to read, and Holder that
	// reader; 0 and "" when all is read.
	Unread uint64
	Holder string
}

// Fill is the share of its limit that the stream takes, 0 when it has none.
func (s *StreamStatus) Fill() float64 {
	if s.MaxBytes <= 0 {
		return 0
	}
	return float64(s.Bytes) / float64(s.MaxBytes)
}

// Sweeper removes what was read. It is made before the marks are read, and works over
// the connection of then: after another is made the broker may be one that was restored
// from a copy, and the marks, or the stream, from before that.
type Sweeper struct {
	js         jetstream.JetStream
	connection uint64
}

// NewSweeper returns a sweeper that trusts marks that are read from now on.
func NewSweeper(js jetstream.JetStream) Sweeper { return Sweeper{js, js.Conn().Stats().Reconnects} }

// Sweep removes from a stream what lies behind all of its readers and is older than Keep
// says. What a reader has not read is never removed (invariant 19), and neither is the
// last message: the stream's end is what positions are checked against. It needs the
// permission to publish on $JS.API.STREAM.PURGE.<stream>.
//
// Marks must have been read before the call. One that does not fit the stream, since
// that lost its tail and grew again, is that of a reader that has read nothing: it will
// notice, and go back. A reader whose position goes back afterwards finds the stream
// beginning where it begins now. A stream without readers is left alone.
func (w Sweeper) Sweep(ctx context.Context, stream string, marks []ReadMark, keep Keep) (Swept, error) {
	s, err := w.sweep(ctx, stream, marks, keep)
	if err != nil {
		return s, fmt.Errorf("sweep %s: %w", stream, err)
	}
	return s, nil
}

func (w Sweeper) sweep(ctx context.Context, stream string, marks []ReadMark, keep Keep) (s Swept, err error) {
	// First: what comes in later is kept, whoever reads it.
	if s.StreamStatus, err = Stream(ctx, w.js, stream); err != nil || s.Messages == 0 || len(marks) == 0 {
		return s, err
	}
	free := s.LastSequence // what lies before may go
	for _, m := range marks {
		if m.Sequence, err = s.verified(ctx, w.js, m); err != nil {
			return s, err
		}
		unread, err := Pending(ctx, w.js, stream, m.Subject, m.Sequence)
		if err != nil {
			return s, err
		}
		if unread.Messages == 0 || m.Until > 0 && unread.Sequence > m.Until {
			continue
		}
		if !m.Settled && (s.Unread == 0 || unread.Sequence < s.Unread) {
			s.Unread, s.Holder = unread.Sequence, m.Reader
		}
		free = min(free, unread.Sequence)
	}
	young, err := sequenceAt(ctx, w.js, stream, time.Now().Add(-keep.Age))
	if err != nil {
		return s, err
	}
	if err := w.purge(ctx, &s, min(free, young)); err != nil {
		return s, err
	}
	for s.Fill() > keep.Shrink && keep.Shrink > 0 && s.FirstSequence < free {
		excess := float64(s.Bytes) - keep.Ease*float64(s.MaxBytes)
		messages := uint64(excess/float64(s.Bytes)*float64(s.Messages)) + 1
		before := s.FirstSequence
		if err := w.purge(ctx, &s, min(before+messages, free)); err != nil {
			return s, err
		}
		s.Shrunk = true
		if s.FirstSequence == before {
			return s, errors.New("the broker has removed nothing")
		}
	}
	return s, nil
}

// verified is up to where a reader has read the stream as it is; 0 when it has read
// another that this one once was.
func (s *Swept) verified(ctx context.Context, js jetstream.JetStream, m ReadMark) (uint64, error) {
	if m.Sequence > s.LastSequence {
		return 0, nil
	}
	if m.Sequence == 0 || m.Received.IsZero() {
		return m.Sequence, nil
	}
	at, err := storedMessage(ctx, js, s.Name, m.Sequence)
	if err != nil || at != nil && !at.received.Equal(m.Received) {
		return 0, err
	}
	return m.Sequence, nil
}

// errOtherConnection says that the broker may be another than the one that was asked,
// restored from a copy.
var errOtherConnection = errors.New("the connection was lost meanwhile")

// purge removes what lies before a sequence.
func (w Sweeper) purge(ctx context.Context, s *Swept, before uint64) error {
	if before <= s.FirstSequence {
		return nil
	}
	stream, err := w.js.Stream(ctx, s.Name)
	if err != nil {
		return err
	}
	if w.js.Conn().Stats().Reconnects != w.connection {
		return errOtherConnection
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(before)); err != nil {
		return fmt.Errorf("remove what lies before %d: %w", before, err)
	}
	first := s.FirstSequence
	if s.StreamStatus, err = Stream(ctx, w.js, s.Name); err != nil {
		return err
	}
	s.Removed += s.FirstSequence - first
	return nil
}

// sequenceAt is the sequence of the first message that was stored at a time or later;
// behind all sequences if there is none.
func sequenceAt(ctx context.Context, js jetstream.JetStream, stream string, at time.Time) (uint64, error) {
	at = at.UTC()
	answer, err := directGet(ctx, js, stream, directRequest{Start: &at, Batch: 1})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ^uint64(0), nil
	}
	if err != nil {
		return 0, fmt.Errorf("first message since %s: %w", at, err)
	}
	return strconv.ParseUint(brokerHeader(answer, jetstream.SequenceHeader), 10, 64)
}
