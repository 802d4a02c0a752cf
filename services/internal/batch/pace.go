package batch

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/stage"
)

const (
	lookEvery = 250 * time.Millisecond
	// A run that has waited so long goes on for a moment: live readings may be behind
	// for another reason.
	longestWait = 5 * time.Second
)

// pacer keeps a run from holding up live readings: it makes it wait while the oldest
// of them that a stage has not taken in is older than a bound. It is safe for
// concurrent use.
type pacer struct {
	stages
	maxLag  time.Duration                                // 0: waits for nobody
	measure func(context.Context) (time.Duration, error) // lag of the stages but in tests

	mu     sync.Mutex
	looked time.Time
	last   time.Duration // lag that was seen
}

func newPacer(
	ctx context.Context, js jetstream.JetStream, store *goldstore.Store, t broker.Topology, maxLag time.Duration,
) (*pacer, error) {
	positions, err := broker.OpenPositions(ctx, js)
	p := &pacer{stages: stages{js, store, positions, t}, maxLag: maxLag}
	p.measure = p.stages.lag
	return p, err
}

// wait returns once live readings are not too far behind.
func (p *pacer) wait(ctx context.Context, m *meter) error {
	if p.maxLag == 0 {
		return ctx.Err()
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer m.wait(false)
	for began := time.Now(); ; {
		lag, err := p.look(ctx)
		if err != nil || lag <= p.maxLag || time.Since(began) > longestWait {
			return err
		}
		m.wait(true)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// look returns the lag, found anew no more often than bears asking.
func (p *pacer) look(ctx context.Context) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) < lookEvery {
		return p.last, ctx.Err()
	}
	lag, err := p.measure(ctx)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil && (broker.IsRetryable(err) || goldstore.IsRetryable(err)):
		err = nil // whoever is away is met by the run itself
	case err == nil:
		p.last = lag
	}
	p.looked = time.Now()
	return p.last, err
}

// stages is where those that take in live readings are found.
type stages struct {
	js        jetstream.JetStream
	store     *goldstore.Store
	positions *broker.Positions
	topology  broker.Topology
}

// lag returns how old the oldest reading is that a stage has not taken in.
func (s *stages) lag(ctx context.Context) (lag time.Duration, err error) {
	now := time.Now()
	behind := func(stream, subject string, sequence uint64) error {
		rest, err := broker.Pending(ctx, s.js, stream, subject, sequence)
		lag = max(lag, rest.Age(now))
		return err
	}
	for n := range s.topology.IngressShards {
		at, _, err := s.positions.Load(ctx, stage.PositionKey(ingest.Stage, n))
		if err == nil {
			err = behind(broker.IngressStream(n), broker.IngressSubject(n), at.Sequence)
		}
		if err != nil {
			return 0, err
		}
	}
	for n := range s.topology.Partitions {
		at, _, err := s.positions.Load(ctx, stage.PositionKey(cleaner.Stage, n))
		if err == nil {
			err = behind(broker.StreamBronze, broker.BronzeSubject(n), at.Sequence)
		}
		if err != nil {
			return 0, err
		}
	}
	var stored []goldstore.Position
	err = s.store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
		stored, err = tx.Positions(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, at := range stored {
		if at.Stage != aggregator.Stage || at.Stream != broker.StreamSilver {
			continue
		}
		if err := behind(broker.StreamSilver, broker.SilverSubject(int(at.Partition)), at.Sequence); err != nil {
			return 0, err
		}
	}
	return lag, nil
}
