package replay

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/wire"
)

// Range is the messages of one subject of a stream with After < sequence ≤ Until.
type Range struct {
	Stream  string `json:"stream"`
	Subject string `json:"subject,omitempty"`
	After   uint64 `json:"after"`
	Until   uint64 `json:"until"`
}

// Reading is how a stream is read.
type Reading struct {
	JetStream jetstream.JetStream
	Budget    *broker.Budget // bounds what is held of messages
	Logger    *slog.Logger
	Limits    broker.BatchLimits // of a batch
}

// Each calls fn with the messages of a range in order, a batch at a time, and ends
// behind the last that the stream holds. The messages are fn's during the call.
func (r Reading) Each(ctx context.Context, of Range, fn func([]broker.Message) error) error {
	at := of.After
	if more, err := r.more(ctx, of, at); err != nil || !more {
		return err
	}
	reader, err := broker.OpenReader(ctx, r.JetStream, broker.ReaderConfig{
		Stream: of.Stream, FilterSubject: of.Subject, From: at, Budget: r.Budget, Logger: r.Logger,
	})
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		batch, err := reader.NextBatch(ctx, r.Limits)
		if err != nil {
			return err
		}
		n, _ := slices.BinarySearchFunc(batch.Messages, of.Until+1, func(m broker.Message, sequence uint64) int {
			return cmp.Compare(m.Sequence, sequence)
		})
		if at = batch.Last; n > 0 {
			err = fn(batch.Messages[:n])
		}
		batch.Release()
		if err != nil {
			return err
		}
		if more, err := r.more(ctx, of, at); err != nil || !more {
			return err
		}
	}
}

// more reports whether the stream holds a message of the range behind a sequence:
// a reader would wait for one.
func (r Reading) more(ctx context.Context, of Range, after uint64) (bool, error) {
	if after >= of.Until {
		return false, nil
	}
	rest, err := broker.Pending(ctx, r.JetStream, of.Stream, of.Subject, after)
	return rest.Messages > 0 && rest.Sequence <= of.Until, err
}

// Before returns the greatest sequence of a stream up to which all messages were
// stored before t.
func Before(
	ctx context.Context, js jetstream.JetStream, s broker.StreamStatus, subject string, t time.Time,
) (uint64, error) {
	low, high := max(s.FirstSequence, 1)-1, s.LastSequence // all up to low were, none behind high is asked for
	for low < high {
		middle := low + (high-low)/2
		next, err := broker.Pending(ctx, js, s.Name, subject, middle)
		if err != nil {
			return 0, err
		}
		switch {
		case next.Messages == 0 || next.Sequence > high:
			high = middle
		case next.Oldest.Before(t):
			low = next.Sequence
		default:
			high = middle
		}
	}
	return low, nil
}

// releases is Each with those messages of BRONZE only that carry waivers: a release
// is a message of its own.
func (r Reading) releases(ctx context.Context, of Range, fn func([]broker.Message) error) error {
	return r.Each(ctx, of, func(messages []broker.Message) error {
		var releases []broker.Message
		for i := range messages {
			if batch, err := wire.DecodeBronze(messages[i].Data); err == nil && batch.Waives() {
				releases = append(releases, messages[i])
			}
		}
		if len(releases) == 0 {
			return nil
		}
		return fn(releases)
	})
}
