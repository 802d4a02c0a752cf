package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Part is what messages give of one partition.
type Part struct {
	Readings uint64 // taken in
	Silver   []*wire.Silver
	Refused  []*wire.Quarantine
	// Poison is refusals of what this build fails over, which is a bug: readings, or
	// messages of which it is not known what they hold. An earlier build may have made
	// something of them.
	Poison []*wire.Quarantine
}

// Refiner turns messages of one layer into what gold holds of them. It is used by
// one goroutine.
type Refiner struct {
	decoders []*ingest.Decoder // by ingress shard
	cleaners []*cleaner.Isolator
	subjects map[string]int // partition by subject of BRONZE
	log      *slog.Logger   // told of bugs
}

// NewRefiner returns a refiner for the streams of a topology.
func NewRefiner(t broker.Topology, h *epochs.History, log *slog.Logger) *Refiner {
	r := &Refiner{subjects: make(map[string]int), log: log}
	for n := range t.IngressShards {
		r.decoders = append(r.decoders, ingest.NewDecoder(uint32(n), t.Partitions))
	}
	for p := range t.Partitions {
		r.cleaners = append(r.cleaners, cleaner.NewIsolator(func() cleaner.Process { return cleaner.New(p, h).Clean }, log))
		r.subjects[broker.BronzeSubject(p)] = p
	}
	return r
}

// Readings refines messages of an ingress stream. What ingest refuses belongs to no
// partition and is given with the first one.
func (r *Refiner) Readings(ctx context.Context, shard int, messages []broker.Message) ([]Part, error) {
	out, err := r.decoders[shard].Decode(messages)
	if err != nil {
		return nil, fmt.Errorf("decode messages of %s from %d on: %w",
			broker.IngressStream(shard), messages[0].Sequence, err)
	}
	bronze := make([][]broker.Message, len(r.cleaners))
	parts := make([]Part, len(r.cleaners))
	for _, m := range out.Messages {
		if p, ok := r.subjects[m.Subject]; ok {
			bronze[p] = append(bronze[p], broker.Message{Subject: m.Subject, Data: m.Data})
		} else if err := refuse(&parts[0].Refused, m); err != nil {
			return nil, err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for p := range parts {
		g.Go(func() error {
			_, err := stage.Guard(ctx, r.log, messages, func() (*Part, error) {
				return &parts[p], r.clean(ctx, p, bronze[p], &parts[p])
			})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	parts[0].Readings += out.Counts.Quarantined
	return parts, nil
}

// Bronze refines messages of one partition of BRONZE.
func (r *Refiner) Bronze(ctx context.Context, partition int, messages []broker.Message) (part Part, err error) {
	err = r.clean(ctx, partition, messages, &part)
	return part, err
}

// Silver decodes messages of SILVER.
func (r *Refiner) Silver(messages []broker.Message) (part Part) {
	for i := range messages {
		batch, err := wire.DecodeSilver(messages[i].Data)
		if err != nil {
			continue // gold-aggregator has put it into quarantine as it is
		}
		part.Readings += uint64(batch.Len())
		part.Silver = append(part.Silver, batch)
	}
	return part
}

// clean judges bronze of one partition. It is called at the same time for others.
func (r *Refiner) clean(ctx context.Context, partition int, messages []broker.Message, part *Part) error {
	if len(messages) == 0 {
		return nil
	}
	out, poison, err := r.cleaners[partition].Judge(ctx, messages)
	if err != nil {
		return fmt.Errorf("judge partition %d: %w", partition, err)
	}
	part.Readings += out.Counts.In + poison.Counts.In
	for _, m := range poison.Messages {
		if err := refuse(&part.Poison, m); err != nil {
			return err
		}
	}
	for _, m := range out.Messages {
		if m.Subject != broker.SilverSubject(partition) {
			if err := refuse(&part.Refused, m); err != nil {
				return err
			}
			continue
		}
		batch, err := wire.DecodeSilver(m.Data)
		if err != nil {
			return fmt.Errorf("judge partition %d: %w", partition, err)
		}
		part.Silver = append(part.Silver, batch)
	}
	return nil
}

// refuse takes in a message for QUARANTINE.
func refuse(into *[]*wire.Quarantine, m *nats.Msg) error {
	batch, err := wire.DecodeQuarantine(m.Data)
	if err != nil {
		return errors.Join(fmt.Errorf("message for %s", m.Subject), err)
	}
	*into = append(*into, batch)
	return nil
}
