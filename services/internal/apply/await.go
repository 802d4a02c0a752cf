package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
)

// await waits until gold has taken in all that was sent to it and follows the
// epoch.
func (a *application) await(ctx context.Context) error {
	ends := make([]uint64, a.topology.Partitions)
	for p := range ends {
		var err error
		if ends[p], err = broker.LastSequence(ctx, a.JetStream, broker.StreamSilver, broker.SilverSubject(p)); err != nil {
			return err
		}
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := a.look(ctx, ends); err != nil {
			return err
		}
		if a.at.Waiting == 0 && a.at.Behind == 0 {
			return nil
		}
		a.tell()
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for gold-aggregator, which has to follow in %d partitions: %w", a.at.Waiting, ctx.Err())
		case <-tick.C:
		}
	}
}

// look finds which partitions of gold have not read to the ends or do not follow
// the epoch yet. Rows are counted only once none is waited for.
func (a *application) look(ctx context.Context, ends []uint64) error {
	return a.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
		positions, err := tx.Positions(ctx)
		if err != nil {
			return err
		}
		read, followed := make([]uint64, len(ends)), make([]uint64, len(ends))
		for _, p := range positions {
			switch {
			case int(p.Partition) >= len(ends):
			case p.Stage == aggregator.Stage:
				read[p.Partition] = p.Sequence
			case p.Stage == aggregator.RecomputeStage:
				followed[p.Partition] = p.Sequence
			}
		}
		a.at.Waiting = 0
		for p := range ends {
			if read[p] < ends[p] || followed[p] < a.at.Epoch.Epoch() {
				a.at.Waiting++
			}
		}
		if a.at.Waiting > 0 {
			return nil
		}
		a.at.Behind, err = tx.CountBehind(ctx, a.at.Epoch, a.at.Changes.Folded)
		return err
	})
}
