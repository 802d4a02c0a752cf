package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/stage"
)

// received waits until ingest has passed on all that producers have published so
// far, and returns where each partition of BRONZE ends then.
func (a *application) received(ctx context.Context) ([]uint64, error) {
	published := make([]uint64, a.topology.IngressShards)
	for n := range published {
		s, err := broker.Stream(ctx, a.JetStream, broker.IngressStream(n))
		if err != nil {
			return nil, err
		}
		published[n] = s.LastSequence
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var err error
		if a.at.Unread, err = a.unread(ctx, published); err != nil {
			return nil, err
		}
		if a.at.Unread == 0 {
			break
		}
		a.tell()
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for ingest, which has to read on in %d streams: %w", a.at.Unread, ctx.Err())
		case <-tick.C:
		}
	}
	ends := make([]uint64, a.topology.Partitions)
	for p := range ends {
		var err error
		if ends[p], err = broker.LastSequence(ctx, a.JetStream, broker.StreamBronze, broker.BronzeSubject(p)); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

// unread counts the ingress streams that ingest has not read up to those sequences.
func (a *application) unread(ctx context.Context, published []uint64) (streams int, err error) {
	for n, last := range published {
		at, _, err := a.stages.Positions.Load(ctx, stage.PositionKey(ingest.Stage, n))
		if err != nil {
			return 0, err
		}
		rest, err := broker.Pending(ctx, a.JetStream, broker.IngressStream(n), broker.IngressSubject(n), at.Sequence)
		if err != nil {
			return 0, err
		}
		if rest.Messages > 0 && rest.Sequence <= last {
			streams++
		}
	}
	return streams, nil
}

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
