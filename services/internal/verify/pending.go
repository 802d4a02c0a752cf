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

// tail notes the readings in a stage's tail up to a sequence. What is not from the stage
// before is none.
func (p pending) tail(ctx context.Context, r replay.Reading, t *tail, until uint64) error {
	of := replay.Range{Stream: t.stream, Subject: t.subject, After: t.after, Until: until}
	return r.Each(ctx, of, func(messages []broker.Message) error {
		for i := range messages {
			p.message(t.stream, messages[i].Data)
		}
		return nil
	})
}

func (p pending) message(stream string, data []byte) {
	switch stream {
	case broker.StreamBronze:
		if batch, err := wire.DecodeBronze(data); err == nil {
			for row := range batch.Rows() {
				p.add(row.Stamp)
			}
		}
	case broker.StreamSilver:
		if batch, err := wire.DecodeSilver(data); err == nil {
			for _, v := range batch.Versions() {
				p.add(v.Stamp)
			}
		}
	case broker.StreamQuarantine:
		if batch, err := wire.DecodeQuarantine(data); err == nil {
			for refusal := range batch.Refusals() {
				p.add(refusal.Stamp)
			}
		}
	}
}
