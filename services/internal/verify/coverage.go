package verify

import (
	"context"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
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
// positions, and those are short while the platform keeps up.
type coverage struct {
	layer       replay.Layer
	streams     map[string]broker.StreamStatus
	ingested    []uint64 // by ingress shard; what lies behind is pending
	cleaned     []uint64 // by partition of BRONZE
	tails       []pending
	quarantined pending
	limited     map[reading.Stamp]struct{} // refused by gold-aggregator
}

// pending reports whether the reading of a stamp may still be on its way.
func (c *coverage) pending(partition int, s reading.Stamp) bool {
	if c.layer == replay.Readings && (int(s.Stream) >= len(c.ingested) || s.Sequence > c.ingested[s.Stream]) {
		return true
	}
	return c.tails[partition].has(s)
}

// late reports whether a release came after the tails were looked at.
func (c *coverage) late(b *replay.Batch) bool {
	return b.Unit.Releases && b.Last > c.streams[broker.StreamBronze].LastSequence
}

func (c *coverage) refusedByGold(s reading.Stamp) bool {
	_, refused := c.limited[s]
	return refused
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

// held reports whether the layer's stream holds the message of a stamp, if it ever
// had it.
func (c *coverage) held(s reading.Stamp) bool {
	stream := c.streams[broker.IngressStream(int(s.Stream))]
	switch c.layer {
	case replay.Bronze:
		stream = c.streams[broker.StreamBronze]
	case replay.Silver:
		stream = c.streams[broker.StreamSilver]
	default:
		return s.Sequence >= stream.FirstSequence && s.Received >= stream.Created.UnixNano()
	}
	since := stream.Created
	if stream.FirstSequence > 1 {
		since = stream.FirstTime
	}
	return s.Received >= since.UnixNano()
}

// stages reads the positions of ingest and silver-cleaner.
func (v *verification) stages(ctx context.Context) error {
	c := &v.coverage
	c.layer = v.Layer
	c.ingested, c.cleaned = make([]uint64, v.topology.IngressShards), make([]uint64, v.topology.Partitions)
	positions, err := broker.OpenPositions(ctx, v.JetStream)
	if err != nil {
		return err
	}
	load := func(name, stream string, at []uint64) error {
		for n := range at {
			if name == ingest.Stage {
				stream = broker.IngressStream(n)
			}
			read, err := broker.Stream(ctx, v.JetStream, stream)
			if err != nil {
				return err
			}
			p, _, err := positions.Load(ctx, stage.PositionKey(name, n))
			if err != nil {
				return err
			}
			if p.Created.Equal(read.Created) { // else the stage begins anew
				at[n] = p.Sequence
			}
		}
		return nil
	}
	if err := load(ingest.Stage, "", c.ingested); err != nil {
		return err
	}
	return load(cleaner.Stage, broker.StreamBronze, c.cleaned)
}

// cover finds what the snapshot covers.
func (v *verification) cover(ctx context.Context) error {
	c := &v.coverage
	merged, projected, live, err := v.merged(ctx)
	if err != nil {
		return err
	}
	if !live {
		return v.coverBatches(ctx)
	}
	if c.limited, err = v.tx.RefusedStamps(ctx, aggregator.Stage); err != nil {
		return err
	}
	bronze, silver := c.streams[broker.StreamBronze].LastSequence, c.streams[broker.StreamSilver].LastSequence
	c.tails = make([]pending, v.topology.Partitions)
	for p := range c.tails {
		c.tails[p] = make(pending)
		if err := c.tails[p].bronzeTail(ctx, v.reading, p, c.cleaned[p], bronze); err != nil {
			return err
		}
		if err := c.tails[p].silverTail(ctx, v.reading, p, merged[p], silver); err != nil {
			return err
		}
		c.tails[p].sort()
	}
	c.quarantined = make(pending)
	err = c.quarantined.quarantineTail(ctx, v.reading, projected, c.streams[broker.StreamQuarantine].LastSequence)
	c.quarantined.sort()
	return err
}

// coverBatches finds what a database covers that no gold-aggregator keeps: what batch
// runs have brought there from READINGS.
func (v *verification) coverBatches(ctx context.Context) error {
	c := &v.coverage
	records, err := v.tx.Batches(ctx, 0)
	if err != nil {
		return err
	}
	for n := range c.ingested {
		c.ingested[n], err = batch.Covered(records, c.streams[broker.IngressStream(n)])
		if err != nil {
			return err
		}
		v.report.Uncovered = v.report.Uncovered || c.ingested[n] == 0
	}
	c.tails = make([]pending, v.topology.Partitions)
	c.limited, err = v.tx.RefusedStamps(ctx, aggregator.Stage)
	return err
}

// merged returns how far gold and the quarantine are in the snapshot, by partition
// of SILVER, and looks at the streams after that. The database is live if
// gold-aggregator keeps it.
func (v *verification) merged(ctx context.Context) (merged []uint64, projected uint64, live bool, err error) {
	stored, err := v.tx.Positions(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	statuses, err := broker.StreamStatuses(ctx, v.JetStream)
	if err != nil {
		return nil, 0, false, err
	}
	v.coverage.streams = make(map[string]broker.StreamStatus, len(statuses))
	for _, s := range statuses {
		v.coverage.streams[s.Name] = s
	}
	reads := func(p *goldstore.Position, stream string) bool {
		return p.ReadsFrom(stream, v.coverage.streams[stream].Created)
	}
	merged = make([]uint64, v.topology.Partitions)
	for i := range stored {
		p := &stored[i]
		switch {
		case p.Stage == aggregator.Stage && int(p.Partition) < len(merged) && reads(p, broker.StreamSilver):
			merged[p.Partition], live = p.Sequence, true
		case p.Stage == aggregator.QuarantineStage && reads(p, broker.StreamQuarantine):
			projected = p.Sequence
		}
	}
	return merged, projected, live, nil
}
