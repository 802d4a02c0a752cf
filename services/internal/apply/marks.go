package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/wire"
)

// marks returns where the epoch's markers stand, the first one in each partition of
// BRONZE. However often applying is stopped and taken up again they are the same ones,
// so that what is judged again is the same (invariant 17). Applied is the epoch applied
// last.
//
// Before any is published it is kept behind which sequence they stand. So they are
// found again also where a run was stopped before it could keep their own.
func (a *application) marks(ctx context.Context, epoch, applied uint64) (broker.Marks, error) {
	for {
		kept, revision, err := a.store.Marks(ctx, epoch)
		if err != nil {
			return kept, err
		}
		bronze, err := broker.Stream(ctx, a.JetStream, broker.StreamBronze)
		if err != nil {
			return kept, err
		}
		switch {
		case !kept.In(bronze):
			kept = broker.Marks{Created: bronze.Created, After: bronze.LastSequence, Since: applied}
		case kept.Behind.IsZero():
			if err := a.mark(ctx, epoch, &kept); err != nil {
				return kept, err
			}
		case !kept.Held: // the janitor removes nothing any more
			if kept.Held = true; bronze.FirstSequence > 1 {
				kept.From = bronze.FirstTime
			}
		default:
			return kept, nil
		}
		if err := a.store.SetMarks(ctx, epoch, kept, revision); err != nil && !errors.Is(err, broker.ErrMarksMoved) {
			return kept, err
		}
	}
}

// since returns, for sequences of partitions, the first epoch that can have refused
// what stands there without the quarantine knowing what became of it: the one that
// was applied, which has told, or a later one behind whose marker that stands.
func (a *application) since(ctx context.Context, applied uint64) (func(int, uint64) uint64, error) {
	bronze, err := broker.Stream(ctx, a.JetStream, broker.StreamBronze)
	if err != nil {
		return nil, err
	}
	marked := make(map[uint64][]uint64) // where the epochs' markers stand
	for epoch := applied + 1; epoch <= a.at.Epoch.Epoch(); epoch++ {
		kept, _, err := a.store.Marks(ctx, epoch)
		if err != nil {
			return nil, err
		}
		if kept.In(bronze) && len(kept.Sequences) > 0 {
			marked[epoch] = kept.Sequences
		}
	}
	return func(partition int, sequence uint64) uint64 {
		first := applied
		for epoch, sequences := range marked {
			if sequences[partition] < sequence {
				first = max(first, epoch)
			}
		}
		return first
	}, nil
}

// mark puts a marker into each partition and notes where the first ones are, which
// may be another run's.
func (a *application) mark(ctx context.Context, epoch uint64, kept *broker.Marks) error {
	data, err := wire.EpochMarker(epoch)
	if err != nil {
		return err
	}
	messages := make([]*nats.Msg, a.topology.Partitions)
	for p := range messages {
		messages[p] = &nats.Msg{Subject: broker.BronzeSubject(p), Data: data}
	}
	if err := a.stages.Publisher.Deliver(ctx, messages, nil, nil); err != nil {
		return err
	}
	kept.Sequences = make([]uint64, a.topology.Partitions)
	for p := range kept.Sequences {
		first, err := a.firstMarker(ctx, epoch, p, *kept)
		if err != nil {
			return fmt.Errorf("find the marker of epoch %d in partition %d: %w", epoch, p, err)
		}
		if kept.Sequences[p] = first.Sequence; first.Received.After(kept.Behind) {
			kept.Behind = first.Received
		}
	}
	return nil
}

// firstMarker reads a partition, which has a marker, up to the first one.
func (a *application) firstMarker(
	ctx context.Context, epoch uint64, partition int, kept broker.Marks,
) (broker.Message, error) {
	reader, err := broker.OpenReader(ctx, a.JetStream, broker.ReaderConfig{
		Stream: broker.StreamBronze, FilterSubject: broker.BronzeSubject(partition),
		From: kept.After, Created: kept.Created, Logger: a.Logger,
	})
	if err != nil {
		return broker.Message{}, err
	}
	defer reader.Close()
	for {
		m, err := reader.Next(ctx)
		if err != nil {
			return m, err
		}
		// What cannot be decoded is no marker.
		if batch, err := wire.DecodeBronze(m.Data); err == nil && batch.Epoch() == epoch {
			return m, nil
		}
	}
}
