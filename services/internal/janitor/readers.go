package janitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/services/internal/stage"
)

func key(stage string, n int) string { return fmt.Sprintf("%s.%d", stage, n) }

// readers gathers who reads which stream.
type readers struct {
	kept       map[string]broker.Position // in the bucket, by key
	created    map[string]time.Time       // streams as they are
	partitions int
	marks      map[string][]broker.ReadMark // by stream
}

func (r *readers) add(stream string, m broker.ReadMark) { r.marks[stream] = append(r.marks[stream], m) }

// read adds a reader whose position is in the bucket. One that has none has read
// nothing, and neither has one of another stream of that name.
func (r *readers) read(key, stream, subject string, until uint64) {
	m := broker.ReadMark{Reader: key, Subject: subject, Until: until}
	if p := r.kept[key]; p.Stream == stream && p.Created.Equal(r.created[stream]) {
		m.Sequence, m.Received = p.Sequence, p.Received
	}
	delete(r.kept, key)
	r.add(stream, m)
}

// stages adds those of the pipeline.
func (r *readers) stages(shards int) {
	for n := range shards {
		r.read(key("ingest", n), broker.IngressStream(n), "", 0)
	}
	for p := range r.partitions {
		r.read(key("silver", p), broker.StreamBronze, broker.BronzeSubject(p), 0)
	}
}

// others adds readers that this build does not know, such as those of a later one, and
// those that hold for a time ([broker.Hold]). One of another stream of its name has read
// nothing, and one that does not say which stream it reads may read any. Positions of
// readings that were judged again stay for their counts.
func (r *readers) others(now time.Time) {
	for _, key := range slices.Sorted(maps.Keys(r.kept)) {
		p := r.kept[key]
		if strings.HasPrefix(key, stage.RejudgeKeys) || p.Expired(now) {
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
