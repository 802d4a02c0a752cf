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
// broker has it, so that every change is published at least once.
type relay struct {
	Deps
	name      string
	partition uint32
	woken     chan struct{}
}

func newRelay(d Deps, partition int) *relay {
	return &relay{
		Deps: d, name: fmt.Sprintf("feed.%d", partition), partition: uint32(partition),
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
		err := r.retry(ctx, r.name, retryable, func() error { return r.drain(ctx) })
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

// drain publishes entries until there are none.
func (r *relay) drain(ctx context.Context) error {
	for {
		entries, err := r.Store.PendingOutbox(ctx, r.partition)
		if err != nil || len(entries) == 0 {
			return err
		}
		messages := make([]*nats.Msg, len(entries))
		ids := make([]int64, len(entries))
		for i, e := range entries {
			messages[i], ids[i] = outboxMessage(e), e.ID
		}
		if _, err := r.Publisher.PublishAll(ctx, messages); err != nil {
			return errors.Join(err, ctx.Err())
		}
		if err := r.Store.DeleteOutbox(ctx, ids); err != nil {
			return err
		}
	}
}
