package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/ingest"
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

// refused lists what was refused of parts, by stage and rule.
func refused(t *testing.T, parts []Part, of func(*Part) []*wire.Quarantine) (rules []string) {
	t.Helper()
	for p := range parts {
		for _, batch := range of(&parts[p]) {
			for r := range batch.Refusals() {
				rules = append(rules, fmt.Sprintf("%s %s %d.%d", batch.Stage, batch.Rule, r.Stamp.Sequence, r.Stamp.Index))
				if r.Stamp.Received == 0 || len(r.Payload) == 0 && r.Reading.EntityID == "" {
					t.Errorf("refused is %+v", r)
				}
			}
		}
	}
	return rules
}

func poison(p *Part) []*wire.Quarantine      { return p.Poison }
func refusedWell(p *Part) []*wire.Quarantine { return p.Refused }

// source is a replay of a layer, with a trail, and a refiner of it.
func source(t *testing.T, layer Layer, all catalog.Epochs) (*Source, *Refiner) {
	t.Helper()
	s := &Source{
		Reading: Reading{Logger: slog.New(slog.DiscardHandler)}, Layer: layer,
		Topology: broker.Topology{Partitions: 2, IngressShards: 1}, History: &epochs.History{Epochs: all},
	}
	var err error
	if s.Trail, err = NewTrail(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Trail.Close() })
	return s, NewRefiner(s.Topology, s.History, s.Reading.Logger)
}

// message is one of READINGS with readings of entity a of these values.
func message(sequence uint64, values ...int) broker.Message {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf(
			`{"entity_id":"a","metric":"u","unit":"V","value":%d,"time":"2026-06-01T00:00:%02dZ"}`, v, v))
	}
	return broker.Message{
		Sequence: sequence, Received: time.Date(2026, 7, 1, 0, 0, int(sequence), 0, time.UTC),
		Data: []byte("[" + strings.Join(all, ",") + "]"),
	}
}

func stampIn(m *broker.Message, index int) reading.Stamp {
	return reading.Stamp{Received: m.Received.UnixNano(), Sequence: m.Sequence, Index: uint32(index)}
}

// TestARefinerThatPanicsEverywhereRefuses has a history without epochs, which no
// partition can be judged by: that is no message's fault, and yet stops nothing. A rebuild
// has no say on what it could not refine, only on what ingest refuses (invariant 22).
func TestARefinerThatPanicsEverywhereRefuses(t *testing.T) {
	t.Parallel()
	s, r := source(t, Readings, catalog.Epochs{})
	u := Unit{Partition: -1, Range: Range{Stream: broker.StreamReadings}}
	messages := []broker.Message{message(1, 1), message(2)}
	messages[1].Data = []byte(`not a reading`)
	parts, err := s.refine(t.Context(), r, &u, messages)
	if err != nil {
		t.Fatal(err)
	}
	if got := refused(t, parts, poison); !slices.Equal(got, []string{"silver undecodable 1.0"}) {
		t.Errorf("it fails over %v", got)
	}
	if got := refused(t, parts, refusedWell); !slices.Equal(got, []string{"ingest undecodable 2.0"}) {
		t.Errorf("it refuses %v", got)
	}
	if n := parts[0].Readings + parts[1].Readings; n != 2 {
		t.Errorf("%d readings are taken in", n)
	}
	for i := range messages {
		if has, err := s.Trail.Has(0, stampIn(&messages[i], 0)); err != nil || has != (i == 1) {
			t.Errorf("message %d is in the trail: %t, %v", i+1, has, err)
		}
	}
}

// TestABadReadingIsReplayedAlone: of the readings over which judging panics the replay
// says so, and nothing else; their neighbours in the message are refined, and spoken for
// (invariants 5 and 22).
func TestABadReadingIsReplayedAlone(t *testing.T) {
	t.Parallel()
	all, err := catalog.Epochs{}.Append(time.Unix(0, 0),
		[]byte("units: {V: {dimension: voltage}}\nmetrics: {u: {kind: gauge, unit: V}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	received := []broker.Message{message(1, 1, 13, 3), message(2, 4, 5)}
	partition := int(reading.Partition("a", 2))
	for _, layer := range []Layer{Readings, Bronze} {
		t.Run(layer.String(), func(t *testing.T) {
			t.Parallel()
			s, r := source(t, layer, all)
			for p := range r.cleaners {
				r.cleaners[p] = cleaner.NewIsolator(func() cleaner.Process {
					replayer := cleaner.New(p, s.History)
					return func(ctx context.Context, messages []broker.Message) (stage.Output, error) {
						for i := range messages {
							if batch, err := wire.DecodeBronze(messages[i].Data); err == nil {
								for row := range batch.Rows() {
									if row.Reading.Value == 13 {
										panic("at the disco")
									}
								}
							}
						}
						return replayer.Clean(ctx, messages)
					}
				}, s.Reading.Logger)
			}
			u, messages := Unit{Partition: -1, Range: Range{Stream: broker.StreamReadings}}, received
			if layer == Bronze {
				u.Partition, messages = partition, nil
				out, err := ingest.NewDecoder(0, 2).Decode(received)
				if err != nil || len(out.Messages) != 1 {
					t.Fatalf("%d messages are decoded, %v", len(out.Messages), err)
				}
				messages = append(messages, broker.Message{Sequence: 9, Data: out.Messages[0].Data})
			}
			parts, err := s.refine(t.Context(), r, &u, messages)
			if err != nil {
				t.Fatal(err)
			}
			if got := refused(t, parts, poison); !slices.Equal(got, []string{"silver undecodable 1.1"}) {
				t.Errorf("it fails over %v", got)
			}
			var values []float64
			for p := range parts {
				for _, batch := range parts[p].Silver {
					for _, v := range batch.Versions() {
						values = append(values, v.Value)
					}
				}
			}
			if slices.Sort(values); !slices.Equal(values, []float64{1, 3, 4, 5}) || len(refused(t, parts, refusedWell)) > 0 {
				t.Errorf("refined are %v, refused %v", values, refused(t, parts, refusedWell))
			}
			for m := range received {
				for index := range 3 - m {
					has, err := s.Trail.Has(partition, stampIn(&received[m], index))
					fails, failed := s.Trail.Failed(partition, stampIn(&received[m], index))
					bad := m == 0 && index == 1
					if has == bad || fails != bad || err != nil || failed != nil {
						t.Errorf("reading %d.%d is spoken for: %t, fails: %t; %v, %v", m+1, index, has, fails, err, failed)
					}
				}
			}
		})
	}
}

// TestMessagesThatFailAsAWhole: of one that producers have put where it is, all readings
// fail; of another it is not known which do, and any of its partition may.
func TestMessagesThatFailAsAWhole(t *testing.T) {
	t.Parallel()
	m := message(7, 1)
	for _, tt := range []struct {
		layer     Layer
		partition int
		others    bool // fail too
	}{{Readings, -1, false}, {Bronze, 1, true}, {Silver, 1, true}} {
		s, r := source(t, tt.layer, catalog.Epochs{})
		parts, err := s.refuse(r, &Unit{Partition: tt.partition}, &m, errors.New("at the disco"))
		if err != nil || (len(refused(t, parts, poison)) == 1) != (tt.layer == Readings) {
			t.Errorf("%s: %+v, %v", tt.layer, parts, err)
		}
		own, _ := s.Trail.Failed(1, stampIn(&m, 5))
		other, _ := s.Trail.Failed(1, reading.Stamp{Received: 1, Sequence: 8})
		elsewhere, _ := s.Trail.Failed(0, reading.Stamp{Received: 1, Sequence: 8})
		if !own || other != tt.others || elsewhere {
			t.Errorf("%s: its own fail: %t, others %t, those of another partition %t", tt.layer, own, other, elsewhere)
		}
	}
}

// TestReleasesAreTold: of a reading whose release was read the trail says so, and no more.
func TestReleasesAreTold(t *testing.T) {
	t.Parallel()
	var e wire.BronzeEncoder
	waiver := reading.Waiver{Rules: reading.Rules(0).With(reading.OutOfRange), Decision: reading.Decision{Person: "ann", At: 9}}
	stamp := reading.Stamp{Received: 5, Sequence: 3, Index: 2}
	e.Release(reading.Reading{EntityID: "a", Metric: "u", Unit: "V"}, stamp, &waiver)
	data, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range []Layer{Readings, Bronze} {
		s, _ := source(t, layer, catalog.Epochs{})
		u := Unit{Partition: 1, Releases: layer == Readings}
		if err := s.trace(&u, []broker.Message{{Sequence: 4, Data: data}}); err != nil {
			t.Fatal(err)
		}
		neighbour := stamp
		neighbour.Index--
		is, _ := s.Trail.Released(1, stamp)
		beside, _ := s.Trail.Released(1, neighbour)
		spoken, _ := s.Trail.Has(1, stamp)
		if !is || beside || spoken {
			t.Errorf("%s: released %t, its neighbour %t, spoken for %t", layer, is, beside, spoken)
		}
	}
}
