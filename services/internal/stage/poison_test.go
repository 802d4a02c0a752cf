package stage

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/metrics/metricstest"
)

// A message over which the stage panics, and one whose output the broker never takes, go
// to quarantine; those around them are passed on, and the position is behind all
// (invariants 4 and 5).
func TestPoisonIsIsolated(t *testing.T) {
	t.Parallel()
	d, m := deps(t), metricstest.New(t)
	d.Count = m.Stage("silver")
	publish(t, d.JetStream, broker.BronzeSubject(0), "a", "panic", "b", "c", "huge", "d", "panic")
	renewed := 0
	// A process that panicked holds rests of the batch, which must not come out.
	renew := func() func(context.Context, []broker.Message) (Output, error) {
		renewed++
		var rests []*nats.Msg
		return func(_ context.Context, messages []broker.Message) (Output, error) {
			for _, m := range messages {
				switch data := m.Data; string(data) {
				case "panic":
					panic("at the disco")
				case "huge":
					rests = append(rests, &nats.Msg{Subject: broker.SilverSubject(0), Data: make([]byte, 2<<20)})
				default:
					rests = append(rests, &nats.Msg{Subject: broker.SilverSubject(0), Data: data})
				}
			}
			n := uint64(len(rests))
			out := Output{Messages: rests, Counts: broker.Counts{In: n, Out: n}}
			rests = nil
			return out, nil
		}
	}
	causes := make(map[uint64]error)
	err := Run(t.Context(), d, Config{
		Key: "silver.0", Stream: broker.StreamBronze, Subject: broker.BronzeSubject(0),
		OutStreams: []string{broker.StreamSilver, broker.StreamQuarantine},
		Limits:     broker.BatchLimits{Bytes: 1 << 20, Linger: time.Second}, Until: 7,
		Process: renew(),
		Poison: &Poison{Renew: renew, Refuse: func(_ context.Context, m *broker.Message, cause error) (Output, error) {
			causes[m.Sequence] = cause
			return Output{
				Messages: []*nats.Msg{{Subject: broker.QuarantineSubject("silver", "undecodable"), Data: bytes.Clone(m.Data)}},
				Counts:   broker.Counts{In: 1, Quarantined: 1},
			}, nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	at, _, err := d.Positions.Load(t.Context(), "silver.0")
	if err != nil || at.Sequence != 7 || at.Counts != (broker.Counts{In: 7, Out: 4, Quarantined: 3}) {
		t.Errorf("position is %+v, %v", at, err)
	}
	if len(causes) != 3 || !errors.Is(causes[5], broker.ErrTooLarge) || !IsPoison(causes[2]) || !IsPoison(causes[7]) {
		t.Errorf("refused for %v", causes)
	}
	for name, want := range map[string]float64{
		`energy_poison_messages_total{stage="silver"}`:                3,
		`energy_readings_total{outcome="accepted",stage="silver"}`:    4,
		`energy_readings_total{outcome="quarantined",stage="silver"}`: 3,
		`energy_position_rewinds_total{stage="silver"}`:               0,
		`energy_readings_total{outcome="flagged",stage="silver"}`:     0,
	} {
		if got := metricstest.Value(t, m, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if renewed < 3 {
		t.Errorf("the process was renewed %d times", renewed-1)
	}
	passed := make(map[string]bool) // at least once each
	silver, err := broker.Stream(t.Context(), d.JetStream, broker.StreamSilver)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := silver.FirstSequence; sequence <= silver.LastSequence; sequence++ {
		m, err := broker.Get(t.Context(), d.JetStream, broker.StreamSilver, sequence)
		if err != nil {
			t.Fatal(err)
		}
		passed[string(m.Data)] = true
	}
	if diff := cmp.Diff(map[string]bool{"a": true, "b": true, "c": true, "d": true}, passed); diff != "" {
		t.Errorf("passed on (-want +got):\n%s", diff)
	}
}
