package verify

import (
	"cmp"
	"context"
	"slices"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/replay"
)

// whereabouts is where a reading is that was published.
type whereabouts int

const (
	arrived  whereabouts = iota // in gold, or in quarantine
	untold                      // it may be on its way: more is than can be told
	underway                    // it may be on its way
)

// pending is the messages of the ingress streams whose readings may still be on
// their way, as runs of sequences by stream. It holds no more runs than its limit: once
// there are more, all that lies behind the lowest of a stream may be.
type pending struct {
	limit  int
	held   int // runs
	runs   map[uint32][]run
	behind map[uint32]uint64 // the lowest sequence, once it stands for all behind it
	all    bool              // all may be, of whatever stream
}

type run struct{ first, last uint64 }

func newPending(limit int) *pending {
	return &pending{limit: max(limit, 1), runs: make(map[uint32][]run), behind: make(map[uint32]uint64)}
}

// add notes the message that a reading came with.
func (p *pending) add(s reading.Stamp) {
	if p.all {
		return
	}
	if lowest, ok := p.behind[s.Stream]; ok {
		p.behind[s.Stream] = min(lowest, s.Sequence)
		return
	}
	runs := p.runs[s.Stream]
	if n := len(runs); n > 0 && s.Sequence >= runs[n-1].first && s.Sequence-1 <= runs[n-1].last {
		runs[n-1].last = max(runs[n-1].last, s.Sequence)
		return
	}
	p.runs[s.Stream] = append(runs, run{s.Sequence, s.Sequence})
	if p.held++; p.held+len(p.behind) > p.limit {
		p.shrink()
	}
}

// shrink makes room where runs have become one, or by giving up to tell them apart. Room
// for half as many is what keeps adding cheap.
func (p *pending) shrink() {
	if p.sort(); p.held+len(p.behind) <= p.limit/2 {
		return
	}
	for stream, runs := range p.runs {
		p.behind[stream] = runs[0].first
	}
	clear(p.runs)
	p.held = 0
	if len(p.behind) > p.limit/2 {
		clear(p.behind)
		p.all = true
	}
}

// sort makes has ready for use.
func (p *pending) sort() {
	p.held = 0
	for stream, runs := range p.runs {
		slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
		out := runs[:0]
		for _, r := range runs {
			if n := len(out); n > 0 && r.first-1 <= out[n-1].last {
				out[n-1].last = max(out[n-1].last, r.last)
			} else {
				out = append(out, r)
			}
		}
		p.runs[stream] = out
		p.held += len(out)
	}
}

// has tells whether the message of a stamp is among them.
func (p *pending) has(s reading.Stamp) whereabouts {
	if lowest, ok := p.behind[s.Stream]; p.all || ok && s.Sequence >= lowest {
		return untold
	}
	runs := p.runs[s.Stream]
	n, found := slices.BinarySearchFunc(runs, s.Sequence, func(r run, sequence uint64) int {
		return cmp.Compare(r.first, sequence)
	})
	if found || n > 0 && runs[n-1].last >= s.Sequence {
		return underway
	}
	return arrived
}

// tail notes the readings in a stage's tail up to a sequence.
func (p *pending) tail(ctx context.Context, r replay.Reading, t *tail, until uint64) error {
	of := replay.Range{Stream: t.stream, Subject: t.subject, After: t.after, Until: until}
	return r.Each(ctx, of, func(messages []broker.Message) error {
		for i := range messages {
			p.message(t.stream, &messages[i])
		}
		return nil
	})
}

// message notes the readings of a message. One that cannot be read has none; in BRONZE it
// stands for itself, since it will be refused under the stamp that it is noted by.
func (p *pending) message(stream string, m *broker.Message) {
	switch stream {
	case broker.StreamBronze:
		batch, err := wire.DecodeBronze(m.Data)
		if err != nil {
			p.add(refusal.Foreign(m, err).Stamp)
			return
		}
		for row := range batch.Rows() {
			p.add(row.Stamp)
		}
	case broker.StreamSilver:
		if batch, err := wire.DecodeSilver(m.Data); err == nil {
			for _, v := range batch.Versions() {
				p.add(v.Stamp)
			}
		}
	case broker.StreamQuarantine:
		if batch, err := wire.DecodeQuarantine(m.Data); err == nil {
			for refusal := range batch.Refusals() {
				p.add(refusal.Stamp)
			}
		}
	}
}
