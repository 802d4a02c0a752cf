package app

import (
	"context"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/decide"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/janitor"
	"github.com/energy-platform/energy/services/internal/query"
	"github.com/energy-platform/energy/services/internal/settings"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Ingest runs the ingest of one ingress stream. One instance is active, others
// stand by.
func (p *Platform) Ingest(s settings.Stage, shard int) lifecycle.Run {
	name := ingest.Stage
	if shard > 0 {
		name += fmt.Sprintf("-%d", shard)
	}
	return func(ctx context.Context) error {
		if n := p.topology.IngressShards; shard >= n {
			return fmt.Errorf("ENERGY_INGRESS_SHARD %d: there are %d ingress streams, counted from 0", shard, n)
		}
		deps := p.stageDeps(s, ingest.Stage)
		key := stage.PositionKey(ingest.Stage, shard)
		work := shared{s.LeaseGroup, name, 1, only(key)}
		return p.share(ctx, work, func(ctx context.Context, _ int) error {
			defer p.health.Forget(key)
			decode := func() func(context.Context, []broker.Message) (stage.Output, error) {
				decoder := ingest.NewDecoder(uint32(shard), p.topology.Partitions)
				return func(_ context.Context, m []broker.Message) (stage.Output, error) { return decoder.Decode(m) }
			}
			return stage.Run(ctx, deps, stage.Config{
				Key:    stage.PositionKey(ingest.Stage, shard),
				Stream: broker.IngressStream(shard), Subject: broker.IngressSubject(shard),
				OutStreams: []string{broker.StreamBronze, broker.StreamQuarantine},
				Limits:     limits(s), Grace: p.common.Grace,
				Process: decode(),
				Poison: &stage.Poison{
					Renew: decode, Refuse: func(_ context.Context, m *broker.Message, cause error) (stage.Output, error) {
						return ingest.NewDecoder(uint32(shard), 0).Refuse(m, cause)
					},
				},
			})
		})
	}
}

// Cleaner runs silver-cleaner for the partitions that this instance owns.
func (p *Platform) Cleaner(s settings.Stage) lifecycle.Run {
	return func(ctx context.Context) error {
		deps := p.stageDeps(s, cleaner.Stage)
		work := shared{s.LeaseGroup, cleaner.Stage, p.topology.Partitions, of(cleaner.Stage)}
		return p.share(ctx, work, func(ctx context.Context, partition int) error {
			clean := func() func(context.Context, []broker.Message) (stage.Output, error) {
				return cleaner.New(partition, p.epochs).Clean
			}
			return stage.Run(ctx, deps, stage.Config{
				Key:    stage.PositionKey(cleaner.Stage, partition),
				Stream: broker.StreamBronze, Subject: broker.BronzeSubject(partition),
				OutStreams: []string{broker.StreamSilver, broker.StreamQuarantine},
				Limits:     limits(s), Grace: p.common.Grace,
				Process: clean(),
				Poison:  &stage.Poison{Renew: clean, Refuse: cleaner.NewIsolator(clean, deps.Logger).Refuse},
			})
		})
	}
}

// Aggregator runs gold-aggregator for the partitions that this instance owns,
// and the projection of the quarantine if it owns that.
func (p *Platform) Aggregator(s settings.Stage, g settings.Gold) lifecycle.Run {
	return func(ctx context.Context) error {
		deps := aggregator.Deps{
			JetStream: p.js, Publisher: p.publisher, Store: p.store, Slabs: new(gold.Slabs),
			Catalogs: aggregator.NewCatalogs(p.epochs), Partitions: p.topology.Partitions,
			Budget: broker.NewBudget(int64(s.Budget)), Logger: p.log, Tracer: p.tracer, Limits: limits(s), Grace: p.common.Grace,
			CacheBytes: g.CacheBytes / int64(p.topology.Partitions), Report: p.health.Report, Forget: p.health.Forget,
			ParentsQuiet: g.ParentsQuiet, ParentsTurn: make(chan struct{}, 1),
			Count: p.metrics.Stage(aggregator.Stage), Gold: p.metrics.Gold(),
		}
		projection := deps
		projection.Count = p.metrics.Stage(aggregator.QuarantineStage)
		return lifecycle.All(ctx,
			func(ctx context.Context) error {
				return p.share(ctx, shared{s.LeaseGroup, aggregator.Stage, deps.Partitions, of(aggregator.Stage)},
					func(ctx context.Context, partition int) error { return aggregator.Run(ctx, deps, partition) })
			},
			func(ctx context.Context) error {
				work := shared{s.LeaseGroup, aggregator.QuarantineStage, 1, only(aggregator.QuarantineStage)}
				return p.share(ctx, work, func(ctx context.Context, _ int) error { return aggregator.Project(ctx, projection) })
			},
		)
	}
}

// Janitor keeps the streams from filling with history. One instance is active, of all
// groups.
func (p *Platform) Janitor(h settings.History) lifecycle.Run {
	return func(ctx context.Context) error {
		return p.share(ctx, shared{"", janitor.Name, 1, only(janitor.Name)}, func(ctx context.Context, _ int) error {
			epochs, err := broker.OpenEpochs(ctx, p.js)
			if err != nil {
				return err
			}
			return janitor.Run(ctx, janitor.Deps{
				JetStream: p.js, Positions: p.positions, Epochs: epochs, Store: p.store, Topology: p.topology,
				Horizon: h.ReplayHorizon, Synced: p.syncedWithin, Logger: p.log,
				Every:  min(max(h.ReplayHorizon/10, time.Second), sweepEvery),
				Report: p.health.Report, Note: p.health.Note, Forget: p.health.Forget,
			})
		})
	}
}

// sweepEvery is at most between two rounds of the janitor: a stream must not become full
// in between.
const sweepEvery = 10 * time.Second

// Query returns the implementation of the query API, whose watches end with ctx.
func (p *Platform) Query(ctx context.Context) *query.Server {
	return query.NewServer(ctx, p.readers, p.epochs.All, query.Pipeline{
		JetStream: p.js, Positions: p.positions,
		Partitions: p.topology.Partitions, Shards: p.topology.IngressShards,
	}, p.answers.QueryTimeout)
}

// decide returns what decisions on the quarantine are made with.
func (p *Platform) decide() decide.Deps {
	return decide.Deps{
		JetStream: p.js, Publisher: p.publisher, Epochs: p.epochs.All, Partitions: p.topology.Partitions,
		Decode: func(stream uint32, m broker.Message) (stage.Output, error) {
			return ingest.NewDecoder(stream, p.topology.Partitions).Decode([]broker.Message{m})
		},
	}
}

func (p *Platform) stageDeps(s settings.Stage, name string) stage.Deps {
	return stage.Deps{
		JetStream: p.js, Publisher: p.publisher, Positions: p.positions,
		Budget: broker.NewBudget(int64(s.Budget)), Logger: p.log, Report: p.health.Report,
		Tracer: p.tracer, Count: p.metrics.Stage(name),
	}
}

func limits(s settings.Stage) broker.BatchLimits {
	return broker.BatchLimits{Bytes: s.BatchBytes, Linger: s.Linger}
}
