package batch

import (
	"context"
	"slices"
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
	// A run that has waited so long goes on for a step: live readings may be behind for
	// another reason.
	longestWait = 5 * time.Second
)

// pacer keeps a run from holding up live readings: it makes it wait while the oldest
// of them that a stage has not taken in is older than a bound. A reader that does not
// move while the run waits is not waited for again until it has moved: it stands still for
// another reason, such as that its service is stopped. It is safe for concurrent use.
type pacer struct {
	stages
	maxLag  time.Duration                             // 0: waits for nobody
	measure func(context.Context) ([]standing, error) // that of stages but in tests

	mu     sync.Mutex
	looked time.Time
	last   []standing        // what was seen then
	still  map[string]uint64 // where readers stand that do not move
}

// standing is how far a reader of live readings is.
type standing struct {
	reader   string // the key of its position
	sequence uint64
	lag      time.Duration // how old the oldest reading is that it has not taken in
}

func newPacer(
	ctx context.Context, js jetstream.JetStream, store *goldstore.Store, t broker.Topology, maxLag time.Duration,
) (*pacer, error) {
	positions, err := broker.OpenPositions(ctx, js)
	p := &pacer{stages: stages{js, store, positions, t}, maxLag: maxLag}
	p.measure = p.stages.measure
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
	var first []standing
	for began := time.Now(); ; {
		seen, lag, err := p.look(ctx)
		if err != nil || lag <= p.maxLag {
			return err
		}
		if first == nil {
			first = seen
		}
		if time.Since(began) > longestWait {
			p.giveUp(first, seen)
			return nil
		}
		m.wait(true)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// look returns how far readers are, found anew no more often than bears asking, and the
// lag of the one furthest behind of those that move.
func (p *pacer) look(ctx context.Context) (seen []standing, lag time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) >= lookEvery {
		seen, err = p.measure(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case err != nil && !broker.IsRetryable(err) && !goldstore.IsRetryable(err):
			return nil, 0, err
		case err == nil: // else whoever is away is met by the run itself
			p.last = seen
		}
		p.looked = time.Now()
	}
	for _, s := range p.last {
		if at, still := p.still[s.reader]; !still || at != s.sequence {
			lag = max(lag, s.lag)
		}
	}
	return p.last, lag, ctx.Err()
}

// giveUp notes who stands where it stood when the run began to wait.
func (p *pacer) giveUp(first, now []standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = make(map[string]uint64)
	for _, s := range now {
		if slices.ContainsFunc(first, func(f standing) bool { return f.reader == s.reader && f.sequence == s.sequence }) {
			p.still[s.reader] = s.sequence
		}
	}
}

// stages is where those that take in live readings are found.
type stages struct {
	js        jetstream.JetStream
	store     *goldstore.Store
	positions *broker.Positions
	topology  broker.Topology
}

// measure returns how far each of them is.
func (s *stages) measure(ctx context.Context) (all []standing, err error) {
	now := time.Now()
	behind := func(key, stream, subject string, sequence uint64) error {
		rest, err := broker.Pending(ctx, s.js, stream, subject, sequence)
		all = append(all, standing{key, sequence, rest.Age(now)})
		return err
	}
	kept := func(key, stream, subject string) error {
		at, _, err := s.positions.Load(ctx, key)
		if err != nil {
			return err
		}
		return behind(key, stream, subject, at.Sequence)
	}
	for n := range s.topology.IngressShards {
		err := kept(stage.PositionKey(ingest.Stage, n), broker.IngressStream(n), broker.IngressSubject(n))
		if err != nil {
			return nil, err
		}
	}
	for n := range s.topology.Partitions {
		err := kept(stage.PositionKey(cleaner.Stage, n), broker.StreamBronze, broker.BronzeSubject(n))
		if err != nil {
			return nil, err
		}
	}
	var stored []goldstore.Position
	err = s.store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
		stored, err = tx.Positions(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, at := range stored {
		if at.Stage != aggregator.Stage || at.Stream != broker.StreamSilver {
			continue
		}
		key, subject := stage.PositionKey(at.Stage, int(at.Partition)), broker.SilverSubject(int(at.Partition))
		if err := behind(key, broker.StreamSilver, subject, at.Sequence); err != nil {
			return nil, err
		}
	}
	return all, nil
}
