package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// BatchLimits bound a batch; whichever is reached first ends it.
type BatchLimits struct {
	// Bytes, by Message.Size; 0 is unlimited. The first message always counts as
	// fitting.
	Bytes int
	// Messages; 0 is unlimited.
	Messages int
	// Linger is how long to wait for more after the first message; 0 takes only
	// what is here already.
	Linger time.Duration
}

// Batch is a run of messages in stream order, at least one.
type Batch struct {
	Messages []Message
	First    uint64 // sequence of the first message
	Last     uint64 // sequence of the last message
	Bytes    int    // sum of Message.Size

	budget *Budget
}

// Release gives the bytes of the batch back to the budget. Calling it again does
// nothing.
func (b *Batch) Release() {
	if b.budget != nil {
		b.budget.Release(b.Bytes)
		b.budget = nil
	}
}

// NextBatch waits for a message and gathers those that follow within limits. It
// draws their bytes on the Reader's Budget: it waits for the first message's, and
// ends the batch when another's are refused. The caller must Release the batch.
// Errors are those of [Reader.Next]; a batch that has begun is returned whole.
func (r *Reader) NextBatch(ctx context.Context, limits BatchLimits) (*Batch, error) {
	first, err := r.next(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s after %d: %w", r.cfg.Stream, r.last, err)
	}
	if r.cfg.Budget != nil {
		if err := r.cfg.Budget.Acquire(ctx, first.size); err != nil {
			r.hold(first)
			return nil, fmt.Errorf("read %s after %d: %w", r.cfg.Stream, first.Sequence-1, err)
		}
	}
	b := &Batch{
		Messages: append(make([]Message, 0, r.sized+1), first),
		First:    first.Sequence, Last: first.Sequence, Bytes: first.size, budget: r.cfg.Budget,
	}
	r.gather(ctx, limits, b)
	r.sized = len(b.Messages)
	return b, nil
}

// gather adds messages until a limit, the linger, the budget or an error, which
// the next call will meet again.
func (r *Reader) gather(ctx context.Context, limits BatchLimits, b *Batch) {
	r.linger.Reset(limits.Linger)
	defer r.linger.Stop()
	for {
		if limits.Messages > 0 && len(b.Messages) >= limits.Messages || limits.Bytes > 0 && b.Bytes >= limits.Bytes {
			return
		}
		m, err := r.next(ctx, r.linger.C)
		if err != nil {
			if !errors.Is(err, errLinger) {
				r.log.Debug("batch ends early", "error", err)
			}
			return
		}
		if limits.Bytes > 0 && b.Bytes+m.size > limits.Bytes || b.budget != nil && !b.budget.TryAcquire(m.size) {
			r.hold(m)
			return
		}
		b.Messages = append(b.Messages, m)
		b.Last = m.Sequence
		b.Bytes += m.size
	}
}

// hold keeps a message for the next call.
func (r *Reader) hold(m Message) { r.held, r.hasHeld = m, true }
