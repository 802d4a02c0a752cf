package verify

import (
	"cmp"
	"context"
	"slices"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/replay"
)

// pending is the messages of the ingress streams whose readings may still be on
// their way, as runs of sequences by stream.
type pending map[uint32][]run

type run struct{ first, last uint64 }

// add notes the message that a reading came with.
func (p pending) add(s reading.Stamp) {
	runs := p[s.Stream]
	if n := len(runs); n > 0 && s.Sequence >= runs[n-1].first && s.Sequence <= runs[n-1].last+1 {
		runs[n-1].last = max(runs[n-1].last, s.Sequence)
		return
	}
	p[s.Stream] = append(runs, run{s.Sequence, s.Sequence})
}

// sort makes has ready for use.
func (p pending) sort() {
	for stream, runs := range p {
		slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
		out := runs[:0]
		for _, r := range runs {
			if n := len(out); n > 0 && r.first <= out[n-1].last+1 {
				out[n-1].last = max(out[n-1].last, r.last)
			} else {
				out = append(out, r)
			}
		}
		p[stream] = out
	}
}

// has reports whether the message of a stamp is among them.
func (p pending) has(s reading.Stamp) bool {
	runs := p[s.Stream]
	n, found := slices.BinarySearchFunc(runs, s.Sequence, func(r run, sequence uint64) int {
		return cmp.Compare(r.first, sequence)
	})
	return found || n > 0 && runs[n-1].last >= s.Sequence
}

// bronzeTail notes the readings that silver-cleaner has not judged.
func (p pending) bronzeTail(ctx context.Context, r replay.Reading, partition int, after, until uint64) error {
	of := replay.Range{
		Stream: broker.StreamBronze, Subject: broker.BronzeSubject(partition), After: after, Until: until,
	}
	return r.Each(ctx, of, func(messages []broker.Message) error {
		for i := range messages {
			batch, err := wire.DecodeBronze(messages[i].Data)
			if err != nil {
				continue // not from ingest
			}
			for row := range batch.Rows() {
				p.add(row.Stamp)
			}
		}
		return nil
	})
}

// silverTail notes the readings that gold-aggregator has not merged.
func (p pending) silverTail(ctx context.Context, r replay.Reading, partition int, after, until uint64) error {
	of := replay.Range{
		Stream: broker.StreamSilver, Subject: broker.SilverSubject(partition), After: after, Until: until,
	}
	return r.Each(ctx, of, func(messages []broker.Message) error {
		for i := range messages {
			batch, err := wire.DecodeSilver(messages[i].Data)
			if err != nil {
				continue // not from silver-cleaner
			}
			for _, v := range batch.Versions() {
				p.add(v.Stamp)
			}
		}
		return nil
	})
}

// quarantineTail notes the refusals that are not in gold.quarantine yet.
func (p pending) quarantineTail(ctx context.Context, r replay.Reading, after, until uint64) error {
	of := replay.Range{Stream: broker.StreamQuarantine, After: after, Until: until}
	return r.Each(ctx, of, func(messages []broker.Message) error {
		for i := range messages {
			batch, err := wire.DecodeQuarantine(messages[i].Data)
			if err != nil {
				continue // not from a stage
			}
			for refusal := range batch.Refusals() {
				p.add(refusal.Stamp)
			}
		}
		return nil
	})
}
