// Package app puts services together. The mains, `energy up` and the end-to-end
// tests all build them here, so that they run the same thing. It knows all services, and no
// service knows it (invariant 12).
package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/metrics"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/settings"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Platform is what the services of one process share: connections that stand,
// to a broker and a store that are ready for use.
type Platform struct {
	common    settings.Common
	instance  string // of this process in leases
	log       *slog.Logger
	health    *health.Monitor
	epochs    *epochs.Follower
	conn      *nats.Conn
	js        jetstream.JetStream
	topology  broker.Topology
	leases    jetstream.KeyValue
	positions *broker.Positions
	publisher *broker.Publisher
	store     *goldstore.Store // nil for services that do not need it
	assured   assurance
	syncs     *broker.Durability // nil: not known without asking
	monitor   string             // address where the broker is asked
	answers   *settings.Answers
	readers   *goldstore.Store // for answers; nil for services that give none
	tracer    tracing.Tracer
	metrics   *metrics.Metrics
}

// Needs is what a process connects to.
type Needs struct {
	Common   settings.Common
	Broker   settings.Broker
	Postgres *settings.Postgres // nil for services that do not need it
	Answers  *settings.Answers  // nil for services that give none
	// Name is the process's name in the broker and the store.
	Name string
	// Syncs is how the broker syncs; nil: it is asked, if the settings say where.
	Syncs *broker.Durability
	// Metrics counts what the process does; nil: nothing is counted.
	Metrics *metrics.Metrics
	// Tracers opens the process's spans; nil: nothing is traced.
	Tracers trace.TracerProvider
}

// Open connects and waits until the broker is provisioned and the store is
// migrated, which it reports to the monitor meanwhile. It returns an error when
// ctx ends first or a setting is wrong.
func Open(ctx context.Context, n Needs, monitor *health.Monitor, log *slog.Logger) (*Platform, error) {
	p := &Platform{
		common: n.Common, instance: cmp.Or(n.Common.Instance, n.Name), log: log, health: monitor,
		answers: n.Answers, syncs: n.Syncs, monitor: n.Broker.Monitor,
	}
	if n.Tracers == nil {
		n.Tracers = noop.NewTracerProvider()
	}
	p.tracer, p.metrics = tracing.New(n.Tracers), n.Metrics
	if err := p.openStores(ctx, n); err != nil {
		p.Close()
		return nil, err
	}
	monitor.Fail(setup, broker.ErrDisconnected)
	var err error
	p.conn, err = broker.Connect(ctx, broker.ConnectConfig{URL: n.Broker.NATSURL, Name: n.Name, Logger: log})
	if err != nil {
		p.Close()
		return nil, err
	}
	monitor.AddCheck(connection, func(context.Context) error { return broker.CheckConnection(p.conn) })
	if err := p.await(ctx); err != nil {
		p.Close()
		return nil, err
	}
	p.tellDurability(ctx)
	return p, nil
}

// openStores opens the gold store. Answers are read over connections of their
// own, so that slow ones cannot hold up the services of the same process.
func (p *Platform) openStores(ctx context.Context, n Needs) (err error) {
	if n.Postgres == nil {
		return nil
	}
	url := n.Postgres.DatabaseURL.Reveal()
	p.store, err = goldstore.Open(ctx, url, goldstore.Config{
		Application: n.Name, StatementTimeout: n.Postgres.StatementTimeout, Tracers: n.Tracers,
	})
	if err != nil {
		return err
	}
	p.health.AddCheck(postgres, p.store.Ping)
	if n.Answers == nil {
		return nil
	}
	p.readers, err = goldstore.Open(ctx, url, goldstore.Config{
		Application: n.Name + " answers", MaxConns: n.Answers.QueryConns, StatementTimeout: n.Answers.QueryTimeout,
		Tracers: n.Tracers,
	})
	return err
}

// await waits until the broker and the store are ready.
func (p *Platform) await(ctx context.Context) error {
	var err error
	if p.js, err = broker.JetStream(p.conn); err != nil {
		return err
	}
	var backoff broker.Backoff
	for told := ""; ; {
		trouble := p.ready(ctx)
		p.health.Fail(setup, trouble)
		if trouble == nil {
			return nil
		}
		if trouble.Error() != told {
			p.log.WarnContext(ctx, "not ready", "error", trouble)
			told = trouble.Error()
		}
		if err := backoff.Wait(ctx); err != nil {
			return errors.Join(trouble, err)
		}
	}
}

// ready opens what the services work on, or says what is missing.
func (p *Platform) ready(ctx context.Context) (err error) {
	if p.topology, err = broker.Open(ctx, p.js); err != nil {
		return err
	}
	if p.leases, err = broker.OpenLeases(ctx, p.js); err != nil {
		return err
	}
	if p.positions, err = broker.OpenPositions(ctx, p.js); err != nil {
		return err
	}
	if p.epochs, err = p.follow(ctx); err != nil {
		return err
	}
	if p.publisher == nil {
		if p.publisher, err = broker.NewPublisher(p.js, broker.PublisherConfig{}); err != nil {
			return err
		}
	}
	if p.store == nil {
		return nil
	}
	return p.store.CheckSchema(ctx)
}

// follow reads the epochs of the catalogue.
func (p *Platform) follow(ctx context.Context) (*epochs.Follower, error) {
	store, err := broker.OpenEpochs(ctx, p.js)
	if err != nil {
		return nil, err
	}
	return epochs.Follow(ctx, store, func(err error) { p.health.Report(catalogue, err) }, p.log)
}

// Close closes the connections.
func (p *Platform) Close() {
	if p.conn != nil {
		p.conn.Close()
	}
	for _, store := range []*goldstore.Store{p.store, p.readers} {
		if store != nil {
			store.Close()
		}
	}
}

// Conn returns the connection to the broker.
func (p *Platform) Conn() *nats.Conn { return p.conn }

// shared is work that the instances of a group share.
type shared struct {
	group string // "" is that of all who name none
	stage string // of the leases
	slots int
	// component names the health of a slot's work. The work reports on it itself once it
	// is well, and so takes back what made it stop before.
	component func(slot int) string
}

// share runs work for each slot that this instance owns, and reports what made it
// stop.
func (p *Platform) share(ctx context.Context, s shared, work func(context.Context, int) error) error {
	lease := s.stage
	if s.group != "" {
		lease = s.group + "_" + s.stage
	}
	return broker.RunLeases(ctx, broker.LeaseConfig{
		KV: p.leases, Stage: lease, Slots: s.slots, Instance: p.instance, Logger: p.log,
	}, func(ctx context.Context, slot int) error {
		err := work(ctx, slot)
		if err != nil {
			p.health.Report(s.component(slot), err)
			return err
		}
		p.health.Forget(s.component(slot))
		return nil
	})
}

// of names the health of a stage's slots as their positions are named.
func of(name string) func(slot int) string {
	return func(slot int) string { return stage.PositionKey(name, slot) }
}

// only names the health of work that has one slot.
func only(name string) func(int) string { return func(int) string { return name } }
