package chaos

import (
	"hash/maphash"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
)

// TestEachReadingIsAccountedFor: an entry speaks for its reading, and a message that is
// kept whole for what has no entry, not for what could be decoded.
func TestEachReadingIsAccountedFor(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	m := broker.Message{Sequence: 4, Received: time.Unix(1_780_000_000, 0), Data: []byte(
		`[{"entity_id":"a","metric":"voltage","unit":"V","value":230,"time":"2026-05-01T00:00:00Z"},{"fault":1},{"fault":2}]`)}
	at := func(index uint32) reading.Stamp {
		return reading.Stamp{Received: m.Received.UnixNano(), Sequence: m.Sequence, Index: index}
	}
	for name, tt := range map[string]struct {
		refused []uint32
		kept    int
		fault   string
	}{
		"all have entries":                     {[]uint32{0, 1, 2}, 0, ""},
		"faults are in what is kept":           {[]uint32{0}, len(m.Data), ""},
		"a part of the message is missing":     {[]uint32{0, 1}, len(m.Data) - 1, "what cannot be decoded"},
		"a fault has no entry":                 {[]uint32{0, 2}, 0, "what cannot be decoded"},
		"the reading has none":                 {[]uint32{1, 2}, 0, "neither in gold nor"},
		"the reading has none in what is kept": {[]uint32{1}, len(m.Data), "neither in gold nor"},
	} {
		g := &stored{
			seed: maphash.MakeSeed(), refused: make(map[reading.Stamp]struct{}),
			kept: map[reading.Stamp]int{at(0): tt.kept},
		}
		for _, index := range tt.refused {
			g.refused[at(index)] = struct{}{}
		}
		a := accounting{
			gold: g, judge: silver.NewJudge(c), benches: make(map[reading.Series]*silver.Bench), report: new(Report),
		}
		a.message(&m)
		if (a.err == nil) != (tt.fault == "") || a.err != nil && !strings.Contains(a.err.Error(), tt.fault) {
			t.Errorf("%s: %v", name, a.err)
		}
		if a.report.Stored != 3 {
			t.Errorf("%s: %+v", name, a.report)
		}
	}
}
