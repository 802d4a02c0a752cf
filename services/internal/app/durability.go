package app

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
)

// assurance is what was last said of what the broker may lose.
type assurance struct {
	mu    sync.Mutex
	bound string
}

// LossBound says what of the acknowledged readings may be lost, and when.
func (p *Platform) LossBound() string {
	p.assured.mu.Lock()
	defer p.assured.mu.Unlock()
	return p.assured.bound
}

// askDurability returns what the broker, as it is now, may lose.
func (p *Platform) askDurability(ctx context.Context) broker.Durability {
	d := broker.Durability{Replicas: p.topology.Replicas}
	switch {
	case p.syncs != nil:
		d = *p.syncs
		d.Replicas = p.topology.Replicas
	case p.monitor != "":
		d = broker.AskDurability(ctx, p.monitor, d.Replicas)
	}
	return d
}

// tellDurability asks for that, and says it in health and, where it is not what was said
// before, in the log.
func (p *Platform) tellDurability(ctx context.Context) broker.Durability {
	d := p.askDurability(ctx)
	bound := d.LossBound()
	p.health.Note(durability, bound)
	p.assured.mu.Lock()
	changed := p.assured.bound != bound
	p.assured.bound = bound
	p.assured.mu.Unlock()
	if changed {
		p.log.InfoContext(ctx, "durability", "loss_bound", bound, "replicas", d.Replicas, "known", d.Known,
			"sync_always", d.SyncAlways, "sync_interval", d.SyncInterval)
	}
	return d
}

// followDurability says it anew with each connection, behind which the broker may have
// been given other settings, and where the broker did not answer until it does.
func (p *Platform) followDurability(ctx context.Context) error {
	connected := p.conn.StatusChanged(nats.CONNECTED)
	defer p.conn.RemoveStatusListener(connected)
	again := time.NewTimer(0)
	defer again.Stop()
	var backoff broker.Backoff
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-connected:
			backoff.Reset()
		case <-again.C:
		}
		if p.tellDurability(ctx).Unanswered != nil {
			again.Reset(backoff.Next())
		}
	}
}

// syncedWithin tells how long the broker, as it is now, may have what it acknowledged in
// memory only. Its error is why the broker did not say so.
func (p *Platform) syncedWithin(ctx context.Context) (time.Duration, error) {
	d := p.tellDurability(ctx)
	return d.SyncedWithin(), d.Unanswered
}
