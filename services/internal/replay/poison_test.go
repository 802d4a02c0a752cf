package replay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/stage"
)

// TestPoisonStopsNoReplay: messages over which refining panics are refused alone, those
// around them are refined once, and other errors end the replay (invariant 5).
func TestPoisonStopsNoReplay(t *testing.T) {
	t.Parallel()
	messages := make([]broker.Message, 9)
	for i := range messages {
		messages[i].Sequence = uint64(i)
	}
	var refined, refused []uint64
	work := func(fails error) ([]Part, error) {
		refined, refused = nil, nil
		return isolate(messages, func(some []broker.Message) ([]Part, error) {
			return stage.Guard(t.Context(), slog.New(slog.DiscardHandler), some, func() ([]Part, error) {
				for _, m := range some {
					if m.Sequence%4 == 2 && fails == nil {
						panic("at the disco")
					}
				}
				for _, m := range some {
					refined = append(refined, m.Sequence)
				}
				return []Part{{Readings: uint64(len(some))}}, fails
			})
		}, func(m *broker.Message, _ error) ([]Part, error) {
			refused = append(refused, m.Sequence)
			return []Part{{Readings: 100}}, nil
		})
	}
	parts, err := work(nil)
	if err != nil || len(parts) != 1 || parts[0].Readings != 207 ||
		!slices.Equal(refined, []uint64{0, 1, 3, 4, 5, 7, 8}) || !slices.Equal(refused, []uint64{2, 6}) {
		t.Errorf("%+v, %v: refined %v, refused %v", parts, err, refined, refused)
	}
	if _, err := work(context.Canceled); !errors.Is(err, context.Canceled) || len(refused) > 0 {
		t.Errorf("%v: refused %v", err, refused)
	}
}

// TestARefinerThatPanicsEverywhereRefuses has a history without epochs, which no
// partition can be judged by: that is no message's fault, and yet stops nothing. A rebuild
// has no say on what it could not refine, only on what ingest refuses (invariant 22).
func TestARefinerThatPanicsEverywhereRefuses(t *testing.T) {
	t.Parallel()
	s := Source{
		Reading: Reading{Logger: slog.New(slog.DiscardHandler)}, Layer: Readings,
		Topology: broker.Topology{Partitions: 2, IngressShards: 1}, History: &epochs.History{Epochs: catalog.Epochs{}},
	}
	u := Unit{Partition: -1, Range: Range{Stream: broker.StreamReadings}}
	var err error
	if s.Trail, err = NewTrail(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	defer s.Trail.Close()
	received := time.Unix(1, 0)
	messages := []broker.Message{
		{Sequence: 1, Received: received, Data: []byte(
			`{"entity_id":"a","metric":"voltage","unit":"V","value":1,"time":"2026-06-01T00:00:00Z"}`,
		)},
		{Sequence: 2, Received: received, Data: []byte(`not a reading`)},
	}
	parts, err := s.refine(t.Context(), NewRefiner(s.Topology, s.History, s.Reading.Logger), &u, messages)
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, p := range parts {
		for _, batch := range p.Refused {
			for r := range batch.Refusals() {
				rules = append(rules, batch.Stage+" "+batch.Rule)
				if r.Stamp.Sequence == 0 || len(r.Payload) == 0 {
					t.Errorf("refused is %+v", r)
				}
			}
		}
	}
	if !slices.Equal(rules, []string{"ingest undecodable", "ingest undecodable"}) || parts[0].Readings != 2 {
		t.Errorf("%d readings, refused by %v", parts[0].Readings, rules)
	}
	for i := range messages {
		stamp := reading.Stamp{Received: received.UnixNano(), Sequence: messages[i].Sequence}
		if has, err := s.Trail.Has(0, stamp); err != nil || has != (stamp.Sequence == 2) {
			t.Errorf("message %d is in the trail: %t, %v", stamp.Sequence, has, err)
		}
	}
}
