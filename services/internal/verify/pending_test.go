package verify

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// TestPending holds what may be on its way against a set: within the limit it is told
// exactly, above it nothing of it is taken for arrived, and memory is bounded.
func TestPending(t *testing.T) {
	t.Parallel()
	type place struct {
		stream   uint32
		sequence uint64
	}
	rapid.Check(t, func(rt *rapid.T) {
		p := newPending(rapid.IntRange(1, 40).Draw(rt, "limit"))
		streams := uint32(rapid.IntRange(1, 50).Draw(rt, "streams"))
		added, lowest := make(map[place]bool), make(map[uint32]uint64)
		for range rapid.IntRange(0, 100).Draw(rt, "readings") {
			at := place{rapid.Uint32Range(0, streams-1).Draw(rt, "stream"), rapid.Uint64Range(1, 100).Draw(rt, "sequence")}
			p.add(reading.Stamp{Stream: at.stream, Sequence: at.sequence})
			if added[at] = true; lowest[at.stream] == 0 || at.sequence < lowest[at.stream] {
				lowest[at.stream] = at.sequence
			}
			if p.held > p.limit {
				rt.Fatalf("%d runs are held, the limit is %d", p.held, p.limit)
			}
		}
		p.sort()
		kept := 0
		for _, runs := range p.runs {
			kept += len(runs)
		}
		if kept > p.limit || len(p.behind) > p.limit {
			rt.Fatalf("%d runs and %d streams are held, the limit is %d", kept, len(p.behind), p.limit)
		}
		exact := !p.all && len(p.behind) == 0
		if len(added) <= p.limit/2 && !exact {
			rt.Fatalf("%d readings are not told one by one, the limit is %d", len(added), p.limit)
		}
		for stream := range streams {
			for sequence := range uint64(102) {
				is := p.has(reading.Stamp{Stream: stream, Sequence: sequence})
				switch was := added[place{stream, sequence}]; {
				case exact && was != (is == underway), was && is == arrived, is == untold && exact:
					rt.Fatalf("message %d of %d is %d, and was added: %t", sequence, stream, is, was)
				case !p.all && is != arrived && (lowest[stream] == 0 || sequence < lowest[stream]):
					rt.Fatalf("message %d of %d lies before all that was added, and is %d", sequence, stream, is)
				}
			}
		}
	})
}

// TestPendingMessages: what a stage has not read tells the readings that it is about, and
// one that nobody can read tells itself, as it will be refused.
func TestPendingMessages(t *testing.T) {
	t.Parallel()
	var bronze wire.BronzeEncoder
	bronze.Add(reading.Reading{EntityID: "a", Metric: "u"}, reading.Stamp{Stream: 1, Sequence: 5})
	data, err := bronze.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	foreign := reading.Stamp{Stream: refusal.ForeignStream, Sequence: 77}
	for name, tt := range map[string]struct {
		stream string
		data   []byte
		stamp  reading.Stamp
		is     whereabouts
	}{
		"a reading":                        {broker.StreamBronze, data, reading.Stamp{Stream: 1, Sequence: 5}, underway},
		"not its message":                  {broker.StreamBronze, data, foreign, arrived},
		"what nobody can read of BRONZE":   {broker.StreamBronze, []byte("no batch"), foreign, underway},
		"what nobody can read of SILVER":   {broker.StreamSilver, []byte("no batch"), foreign, arrived},
		"what nobody can read of refusals": {broker.StreamQuarantine, []byte("no batch"), foreign, arrived},
	} {
		p := newPending(10)
		p.message(tt.stream, &broker.Message{Sequence: 77, Data: tt.data})
		if p.sort(); p.has(tt.stamp) != tt.is {
			t.Errorf("%s is %d, want %d", name, p.has(tt.stamp), tt.is)
		}
	}
}
