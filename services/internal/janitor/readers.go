package janitor

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/rejudge"
	"github.com/energy-platform/energy/services/internal/stage"
)

// readers gathers who reads which stream.
type readers struct {
	kept       map[string]broker.Position // by key
	settled    map[string]broker.Position // those that cannot be lost any more
	created    map[string]time.Time       // streams as they are
	partitions int
	known      map[string]bool              // keys that were read
	marks      map[string][]broker.ReadMark // by stream
}

func (r *readers) add(stream string, m broker.ReadMark) { r.marks[stream] = append(r.marks[stream], m) }

// read adds a reader by the key of its position. One that has none has read nothing, and
// neither has one of another stream of that name. Until is as in [broker.ReadMark].
func (r *readers) read(key, stream, subject string, until uint64) {
	r.known[key] = true
	m := broker.ReadMark{Reader: key, Subject: subject, Until: until}
	settled := m
	settled.Settled = true
	at := r.kept[key]
	r.place(&m, stream, at)
	r.add(stream, m)
	if !at.Expires.IsZero() {
		return // nothing becomes of what is held
	}
	if r.place(&settled, stream, r.settled[key]); settled.Sequence < m.Sequence {
		r.add(stream, settled)
	}
}

// place puts a mark at a position, if that is of the stream.
func (r *readers) place(m *broker.ReadMark, stream string, at broker.Position) {
	if at.Stream == stream && at.Created.Equal(r.created[stream]) {
		m.Sequence, m.Received = at.Sequence, at.Received
	}
}

// stages adds those of the pipeline.
func (r *readers) stages(shards int) {
	for n := range shards {
		r.read(stage.PositionKey("ingest", n), broker.IngressStream(n), "", 0)
	}
	for p := range r.partitions {
		r.read(stage.PositionKey("silver", p), broker.StreamBronze, broker.BronzeSubject(p), 0)
		r.read(stage.PositionKey(aggregator.Stage, p), broker.StreamSilver, broker.SilverSubject(p), 0)
	}
	r.read(stage.PositionKey(aggregator.QuarantineStage, 0), broker.StreamQuarantine, "", 0)
}

// rejudged adds what reads BRONZE again for epochs. Until it is known where that ends,
// whatever comes may have to be read.
func (r *readers) rejudged(epochs []pending) {
	for _, e := range epochs {
		if len(e.marks.Sequences) == 0 { // they are being looked for
			r.add(broker.StreamBronze, broker.ReadMark{Reader: stage.RejudgeKeys + "marks", Sequence: e.marks.After})
		}
		for p := range e.marks.Sequences {
			until := uint64(0)
			if len(e.marks.Ends) > 0 {
				until = e.marks.Ends[p]
			}
			r.read(rejudge.Key(e.number, p), broker.StreamBronze, broker.BronzeSubject(p), until)
		}
	}
}

// others adds readers that this build does not know, such as those of a later one, and
// those that hold for a time ([broker.Hold]). One of another stream of its name has read
// nothing, and one that does not say which stream it reads may read any. Positions of
// readings that were judged again stay for their counts.
func (r *readers) others(now time.Time) {
	for _, key := range slices.Sorted(maps.Keys(r.kept)) {
		p := r.kept[key]
		if r.known[key] || strings.HasPrefix(key, stage.RejudgeKeys) || p.Expired(now) {
			continue
		}
		if p.Stream != "" {
			r.read(key, p.Stream, "", 0)
			continue
		}
		for stream := range r.created {
			r.add(stream, broker.ReadMark{Reader: key})
		}
	}
}
