package aggregator

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/lifecycle"
)

// relay publishes the outbox of one partition on the GOLD feed: what earlier
// owners left first, then what each flush adds. An entry is deleted once the
// broker has it, so that every change is published at least once (invariant 8).
type relay struct {
	Deps
	name      string
	partition uint32
	woken     chan struct{}
}

func newRelay(d Deps, partition int) *relay {
	return &relay{
		Deps: d, name: fmt.Sprintf("%s.%d", Feed, partition), partition: uint32(partition),
		woken: make(chan struct{}, 1),
	}
}

// wake tells the relay that there may be entries. It does not block.
func (r *relay) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

func (r *relay) run(ctx context.Context) error {
	retryable := func(err error) bool { return broker.IsRetryable(err) || goldstore.IsRetryable(err) }
	for {
		err := r.retry(ctx, r.name, retryable, func() error { return Drain(ctx, r.Store, r.Publisher, r.partition) })
		if err != nil {
			return lifecycle.Ended(ctx, fmt.Errorf("feed of partition %d: %w", r.partition, err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.woken:
		}
	}
}

// Drain publishes the entries of a partition's outbox until there are none. Whoever
// writes gold may do so, also at the same time as others: readers of the feed bear
// repetitions.
func Drain(ctx context.Context, store *goldstore.Store, publisher *broker.Publisher, partition uint32) error {
	for {
		entries, err := store.PendingOutbox(ctx, partition)
		if err != nil || len(entries) == 0 {
			return err
		}
		messages := make([]*nats.Msg, len(entries))
		ids := make([]int64, len(entries))
		for i, e := range entries {
			messages[i], ids[i] = outboxMessage(e), e.ID
		}
		if _, err := publisher.PublishAll(ctx, messages); err != nil {
			return errors.Join(err, ctx.Err())
		}
		if err := store.DeleteOutbox(ctx, ids); err != nil {
			return err
		}
	}
}
