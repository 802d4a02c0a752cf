package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

// tail is what a stage has not read of a subject.
type tail struct {
	stream, subject string
	partition       int
	after           uint64 // the stage's position
	unread          uint64 // sequence of the first message behind it; 0: there is none
}

// ErrRemoved says that messages were removed, since their stage had read them by then,
// that verify had to look at.
var ErrRemoved = errors.New("what a stage had still to read was read and removed while it was looked at: verify again")

// look finds the first message of each tail.
func look(ctx context.Context, js jetstream.JetStream, tails []tail) error {
	for i := range tails {
		t := &tails[i]
		rest, err := broker.Pending(ctx, js, t.stream, t.subject, t.after)
		if err != nil {
			return err
		}
		t.unread = rest.Sequence
	}
	return nil
}

// whole returns ErrRemoved if a part of the tail was removed before it was read. What
// a stream begins with is known from before the position was read, from when the tail's
// first message was found, and from when the tail had been read.
func (t *tail) whole(before, found, read uint64) error {
	unseen := found > before && found > t.after+1
	if unseen || t.unread > 0 && read > t.unread {
		return fmt.Errorf("%s %s behind %d: %w", t.stream, t.subject, t.after, ErrRemoved)
	}
	return nil
}
