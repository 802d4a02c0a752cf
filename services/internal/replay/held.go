package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
)

// HeldSince returns from which receive time on a stream holds all that it got: what
// came before was removed, or came to another stream that had its name.
func HeldSince(s broker.StreamStatus) time.Time {
	switch {
	case s.FirstSequence <= 1:
		return s.Created
	case s.Messages == 0:
		return time.Unix(0, math.MaxInt64) // later than every receive time
	default:
		return s.FirstTime
	}
}

// ErrNotHeld says that messages that were selected are in their stream no more.
var ErrNotHeld = errors.New("the source does not hold the beginning of the range any more")

func notHeld(s broker.StreamStatus) error {
	if s.Messages == 0 {
		return fmt.Errorf("%w: %s is empty, its first %d messages were removed", ErrNotHeld, s.Name, s.FirstSequence-1)
	}
	return fmt.Errorf("%w: %s begins with message %d, received %s",
		ErrNotHeld, s.Name, s.FirstSequence, s.FirstTime.UTC().Format(time.RFC3339Nano))
}

// Begins finds out whether the streams hold the beginning of what is selected. Where
// that is before anything that a stream of that name can have held it is open, and
// open is since when they hold all, Unix ns: whether there ever was more, gold may
// know. It returns *NotHeldError when what the selection names was removed.
//
// A selection that names no beginning takes what there is; whole says that it is to
// be all that there ever was.
func (s *Source) Begins(ctx context.Context, whole bool) (open int64, err error) {
	streams, err := s.streams(ctx)
	if err != nil {
		return 0, err
	}
	for _, stream := range streams {
		since := HeldSince(stream)
		from, until := s.Selection.FirstSequence, s.Selection.LastSequence
		switch {
		case from > 0 && from >= stream.FirstSequence,
			s.Selection.ReceivedFrom > 0 && s.Selection.ReceivedFrom >= since.UnixNano():
			continue
		case stream.FirstSequence <= 1:
			if open == 0 || since.UnixNano() < open {
				open = since.UnixNano()
			}
			continue
		case !whole && from == 0 && s.Selection.ReceivedFrom == 0 && (until == 0 || until >= stream.FirstSequence) &&
			(s.Selection.ReceivedTo == 0 || s.Selection.ReceivedTo > since.UnixNano()):
			continue
		}
		return 0, notHeld(stream)
	}
	return open, nil
}

// streams returns the status of the layer's streams.
func (s *Source) streams(ctx context.Context) (all []broker.StreamStatus, err error) {
	names := []string{s.Layer.Stream()}
	if s.Layer == Readings {
		names = names[:0]
		for n := range s.Topology.IngressShards {
			names = append(names, broker.IngressStream(n))
		}
	}
	for _, name := range names {
		stream, err := broker.Stream(ctx, s.Reading.JetStream, name)
		if err != nil {
			return nil, err
		}
		all = append(all, stream)
	}
	return all, nil
}
