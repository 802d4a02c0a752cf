package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/replay"
	"github.com/energy-platform/energy/services/internal/stage"
)

// ErrUnsettled says that a rebuild waited in vain for judgements on their way to gold.
var ErrUnsettled = errors.New("readings are on their way that a rebuild would not see")

// defaultPatience is how long a rebuild waits for a stage that does not move.
const defaultPatience = time.Minute

// passage is what a stage is to have read before a rebuild writes.
type passage struct {
	reader, stream, subject string
	until                   uint64
	at                      func(context.Context) (uint64, error) // where it stands
}

// settle returns once gold has the judgements of all that the run has read that the
// stages have made of it, or will: one that came to gold later would bring back what
// the rebuild has taken out. Stages are awaited in order, each up to the end of what
// the one before has written by then.
func (r *run) settle(ctx context.Context) error {
	if r.feed == nil {
		return nil // stages write another database
	}
	if r.layer == replay.Readings {
		for i := range r.job.Units {
			u := &r.job.Units[i]
			if u.Releases {
				continue
			}
			key := stage.PositionKey(ingest.Stage, u.Shard)
			err := r.await(ctx, &passage{key, u.Stream, u.Subject, u.Until, r.position(key, u.Created)})
			if err != nil {
				return err
			}
		}
	}
	if err := r.passed(ctx, broker.StreamBronze, cleaner.Stage, broker.BronzeSubject, r.position); err != nil {
		return err
	}
	return r.passed(ctx, broker.StreamSilver, aggregator.Stage, broker.SilverSubject, r.merged)
}

// passed returns once a stage has read all of a stream, as it is now.
func (r *run) passed(
	ctx context.Context, name, reader string, subject func(int) string,
	at func(key string, created time.Time) func(context.Context) (uint64, error),
) error {
	stream, err := broker.Stream(ctx, r.JetStream, name)
	if err != nil {
		return err
	}
	for p := range r.topology.Partitions {
		key := stage.PositionKey(reader, p)
		err := r.await(ctx, &passage{key, name, subject(p), stream.LastSequence, at(key, stream.Created)})
		if err != nil {
			return err
		}
	}
	return nil
}

// position returns what tells how far a stage is whose position the broker has.
func (r *run) position(key string, created time.Time) func(context.Context) (uint64, error) {
	return func(ctx context.Context) (sequence uint64, err error) {
		err = r.ask(ctx, func() error {
			at, _, err := r.pace.positions.Load(ctx, key)
			if at.Created.Equal(created) {
				sequence = at.Sequence
			}
			return err
		})
		return sequence, err
	}
}

// merged is position of gold-aggregator.
func (r *run) merged(key string, created time.Time) func(context.Context) (uint64, error) {
	return func(ctx context.Context) (sequence uint64, err error) {
		var stored []goldstore.Position
		err = r.retry(ctx, func() error {
			return r.Store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
				stored, err = tx.Positions(ctx)
				return err
			})
		})
		for i := range stored {
			p := &stored[i]
			if stage.PositionKey(p.Stage, int(p.Partition)) == key && p.ReadsFrom(broker.StreamSilver, created) {
				sequence = p.Sequence
			}
		}
		return sequence, err
	}
}

// await returns once a stage has passed, ErrUnsettled when it does not move.
func (r *run) await(ctx context.Context, p *passage) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer r.meter.wait(false)
	for last, moved := ^uint64(0), time.Now(); ; {
		at, err := p.at(ctx)
		if err != nil {
			return err
		}
		var left broker.Backlog
		err = r.ask(ctx, func() error {
			left, err = broker.Pending(ctx, r.JetStream, p.stream, p.subject, at)
			return err
		})
		if err != nil || left.Messages == 0 || left.Sequence > p.until {
			return err
		}
		if at != last {
			last, moved = at, time.Now()
		}
		if time.Since(moved) > r.Patience {
			return fmt.Errorf("%w: %s has read %s up to %d and does not move: see energy health",
				ErrUnsettled, p.reader, p.stream, at)
		}
		r.meter.wait(true)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
