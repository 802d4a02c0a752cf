package verify

import (
	"context"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/replay"
	"github.com/energy-platform/energy/services/internal/stage"
)

// coverage tells which readings gold must hold in a snapshot.
//
// Positions are read from the first stage to the last, gold's with the rows. What
// lay behind ingest's position had been put into BRONZE when that was read; what of
// it lay behind silver-cleaner's had been put into SILVER; what of that lies behind
// gold's is in the rows. So the rest is found in the tails of the streams behind the
// positions, and those are short while the platform keeps up. A position that does not
// fit its streams any more is that of a stage which will begin anew.
//
// In a database that gold-aggregator does not keep, what batch runs have read is
// covered.
type coverage struct {
	layer       replay.Layer
	live        bool                           // gold-aggregator keeps the database
	before      map[string]broker.StreamStatus // before positions were read
	streams     map[string]broker.StreamStatus // when the tails were looked at
	ingested    []uint64                       // by ingress shard; what lies behind is pending
	cleaned     []uint64                       // by partition of BRONZE
	tails       []*pending                     // by partition
	quarantined *pending
	batches     batch.Coverage
}

// where tells where the reading of a stamp is, of a batch's partition. A release is what
// became of it by a waiver.
func (c *coverage) where(b *replay.Batch, partition int, s reading.Stamp, release bool) whereabouts {
	if !c.live {
		if c.replayed(b, s, release) {
			return arrived
		}
		return underway
	}
	if b.Unit.Releases && b.Last > c.streams[broker.StreamBronze].LastSequence {
		return underway // it came after the tails were looked at
	}
	if c.layer == replay.Readings && (int(s.Stream) >= len(c.ingested) || s.Sequence > c.ingested[s.Stream]) {
		return underway
	}
	return c.tails[partition].has(s)
}

// replayed reports whether batch runs have brought a reading into the database: from
// the stream that is read or, but for releases, from where producers put it.
func (c *coverage) replayed(b *replay.Batch, s reading.Stamp, release bool) bool {
	published := c.batches.Has(broker.IngressStream(int(s.Stream)), s.Sequence, s.Received)
	if b.Unit.Partition < 0 {
		return published
	}
	return published && !release && c.layer != replay.Readings || c.batches.Has(b.Unit.Name, b.Last, s.Received)
}

// end returns the last sequence to read of a layer, 0 for all.
func (c *coverage) end(l replay.Layer) uint64 {
	switch l {
	case replay.Bronze:
		return c.streams[broker.StreamBronze].LastSequence
	case replay.Silver:
		return c.streams[broker.StreamSilver].LastSequence
	default:
		return 0
	}
}

// statuses returns what the streams hold, by their names.
func (v *verification) statuses(ctx context.Context) (map[string]broker.StreamStatus, error) {
	all, err := broker.StreamStatuses(ctx, v.JetStream)
	if err != nil {
		return nil, err
	}
	streams := make(map[string]broker.StreamStatus, len(all))
	for _, s := range all {
		streams[s.Name] = s
	}
	return streams, nil
}

// stages reads the positions of ingest and silver-cleaner.
func (v *verification) stages(ctx context.Context) (err error) {
	c := &v.coverage
	c.layer = v.Layer
	if c.before, err = v.statuses(ctx); err != nil {
		return err
	}
	c.ingested, c.cleaned = make([]uint64, v.topology.IngressShards), make([]uint64, v.topology.Partitions)
	positions, err := broker.OpenPositions(ctx, v.JetStream)
	if err != nil {
		return err
	}
	load := func(name string, at []uint64) error {
		for n := range at {
			p, _, err := positions.Load(ctx, stage.PositionKey(name, n))
			if err != nil {
				return err
			}
			if p.Stream == "" {
				continue // the stage has not begun
			}
			if p, _, err = broker.Verify(ctx, v.JetStream, p); err != nil {
				return err
			}
			at[n] = p.Sequence
		}
		return nil
	}
	if err := load(ingest.Stage, c.ingested); err != nil {
		return err
	}
	return load(cleaner.Stage, c.cleaned)
}

// cover finds what the snapshot covers.
func (v *verification) cover(ctx context.Context) error {
	c := &v.coverage
	tails, err := v.goldTails(ctx)
	if err != nil {
		return err
	}
	if !c.live {
		return v.coverBatches(ctx)
	}
	for p, after := range c.cleaned {
		tails = append(tails, tail{stream: broker.StreamBronze, subject: broker.BronzeSubject(p), partition: p, after: after})
	}
	if err := look(ctx, v.JetStream, tails); err != nil {
		return err
	}
	if c.streams, err = v.statuses(ctx); err != nil {
		return err
	}
	if err := c.pend(ctx, tails, v.reading, v.MaxPending/(v.topology.Partitions+1)); err != nil {
		return err
	}
	read, err := v.statuses(ctx)
	if err != nil {
		return err
	}
	for i := range tails {
		t := &tails[i]
		first := func(of map[string]broker.StreamStatus) uint64 { return of[t.stream].FirstSequence }
		if err := t.whole(first(c.before), first(c.streams), first(read)); err != nil {
			return err
		}
	}
	return nil
}

// pend notes what is in the tails, so many runs of each kind at most.
func (c *coverage) pend(ctx context.Context, tails []tail, r replay.Reading, limit int) error {
	c.quarantined, c.tails = newPending(limit), make([]*pending, len(c.cleaned))
	for p := range c.tails {
		c.tails[p] = newPending(limit)
	}
	for i := range tails {
		into := c.quarantined
		if tails[i].stream != broker.StreamQuarantine {
			into = c.tails[tails[i].partition]
		}
		if err := into.tail(ctx, r, &tails[i], c.streams[tails[i].stream].LastSequence); err != nil {
			return err
		}
	}
	for _, p := range append(c.tails, c.quarantined) {
		p.sort()
	}
	return nil
}

// coverBatches finds what a database covers that no gold-aggregator keeps: what batch
// runs have brought there.
func (v *verification) coverBatches(ctx context.Context) (err error) {
	c := &v.coverage
	if c.streams, err = v.statuses(ctx); err != nil {
		return err
	}
	records, err := v.tx.Batches(ctx, 0)
	if err != nil {
		return err
	}
	created := make(map[string]time.Time)
	for name, s := range c.streams {
		created[name] = s.Created
	}
	c.batches, err = batch.Covered(records, created, func(epoch uint64) bool {
		changes := v.history.Catalog().ChangedSince(epoch)
		return len(changes.Judged) == 0 && !changes.Undeclared
	})
	if err != nil {
		return err
	}
	source := v.source()
	units, err := source.Units(ctx)
	if err != nil {
		return err
	}
	v.report.Uncovered = true
	for n := range v.topology.IngressShards {
		_, covered := c.batches[broker.IngressStream(n)]
		v.report.Uncovered = v.report.Uncovered && !covered
	}
	for i := range units {
		_, covered := c.batches[units[i].Name]
		v.report.Uncovered = v.report.Uncovered && !covered
	}
	return nil
}

// goldTails returns what gold-aggregator has not merged and not projected in the
// snapshot; the database is live if it keeps that.
func (v *verification) goldTails(ctx context.Context) (tails []tail, err error) {
	stored, err := v.tx.Positions(ctx)
	if err != nil {
		return nil, err
	}
	quarantine := tail{stream: broker.StreamQuarantine}
	for p := range v.topology.Partitions {
		tails = append(tails, tail{stream: broker.StreamSilver, subject: broker.SilverSubject(p), partition: p})
	}
	for _, p := range stored {
		var of *tail
		switch {
		case p.Stage == aggregator.Stage && int(p.Partition) < len(tails):
			of = &tails[p.Partition]
		case p.Stage == aggregator.QuarantineStage:
			of = &quarantine
		}
		if of == nil || !p.ReadsFrom(of.stream, v.coverage.before[of.stream].Created) {
			continue
		}
		at, _, err := aggregator.Verify(ctx, v.JetStream, p)
		if err != nil {
			return nil, err
		}
		of.after = at.Sequence
		v.coverage.live = v.coverage.live || p.Stage == aggregator.Stage
	}
	return append(tails, quarantine), nil
}
