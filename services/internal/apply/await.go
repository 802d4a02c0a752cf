package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/stage"
)

// published returns where the ingress streams end.
func (a *application) published(ctx context.Context) ([]uint64, error) {
	published := make([]uint64, a.topology.IngressShards)
	for n := range published {
		s, err := broker.Stream(ctx, a.JetStream, broker.IngressStream(n))
		if err != nil {
			return nil, err
		}
		published[n] = s.LastSequence
	}
	return published, nil
}

// ends returns up to where each partition is to be judged again: to where it ends now,
// which is noted when ingest has nothing left to pass on. What has been noted stays.
func (a *application) ends(ctx context.Context, marks *broker.Marks) (ends []uint64, err error) {
	if len(marks.Ends) > 0 {
		return marks.Ends, nil
	}
	ends = make([]uint64, a.topology.Partitions)
	for p := range ends {
		ends[p], err = broker.LastSequence(ctx, a.JetStream, broker.StreamBronze, broker.BronzeSubject(p))
		if err != nil {
			return nil, err
		}
	}
	if a.at.Unread > 0 {
		return ends, nil
	}
	*marks, err = a.noteEnds(ctx, ends)
	return marks.Ends, err
}

// noteEnds keeps the ends with the epoch's marks, unless another run has, and returns
// the marks as they are kept.
func (a *application) noteEnds(ctx context.Context, ends []uint64) (broker.Marks, error) {
	epoch := a.at.Epoch.Epoch()
	for {
		kept, revision, err := a.store.Marks(ctx, epoch)
		if err != nil || len(kept.Ends) > 0 {
			return kept, err
		}
		kept.Ends = ends
		if err := a.store.SetMarks(ctx, epoch, kept, revision); !errors.Is(err, broker.ErrMarksMoved) {
			return kept, err
		}
	}
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
