package stage

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/metrics/metricstest"
)

// deps returns what stages need, on a broker of its own.
func deps(t *testing.T) Deps {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(t.Context(), js, broker.DefaultTopology()); err != nil {
		t.Fatal(err)
	}
	d := Deps{
		JetStream: js, Budget: broker.NewBudget(0), Logger: slog.New(slog.DiscardHandler), Report: func(string, error) {},
	}
	if d.Positions, err = broker.OpenPositions(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if d.Publisher, err = broker.NewPublisher(js, broker.PublisherConfig{}); err != nil {
		t.Fatal(err)
	}
	return d
}

func publish(t *testing.T, js jetstream.JetStream, subject string, payloads ...string) {
	t.Helper()
	for _, payload := range payloads {
		if _, err := js.Publish(t.Context(), subject, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
}

// What is read up to a sequence does not depend on the batches that the messages come in
// (invariant 17).
func TestUntilCutsBatches(t *testing.T) {
	t.Parallel()
	d := deps(t)
	publish(t, d.JetStream, broker.BronzeSubject(0), "before", "too")
	publish(t, d.JetStream, broker.BronzeSubject(1), "of another partition")
	publish(t, d.JetStream, broker.BronzeSubject(0), "behind", "it")
	for name, tt := range map[string]struct {
		limits broker.BatchLimits
		until  uint64
		want   []string
	}{
		"one message a batch":          {broker.BatchLimits{Messages: 1}, 2, []string{"before", "too"}},
		"all in one batch":             {broker.BatchLimits{Bytes: 1 << 20, Linger: time.Second}, 2, []string{"before", "too"}},
		"a sequence that is not there": {broker.BatchLimits{Bytes: 1 << 20, Linger: time.Second}, 3, []string{"before", "too"}},
		"and alone in its batch":       {broker.BatchLimits{Messages: 1}, 3, []string{"before", "too"}},
		"the last":                     {broker.BatchLimits{Messages: 2}, 5, []string{"before", "too", "behind", "it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen []string
			err := Run(t.Context(), d, Config{
				Key: strings.ReplaceAll(name, " ", "_"), Stream: broker.StreamBronze, Subject: broker.BronzeSubject(0),
				OutStreams: []string{broker.StreamSilver, broker.StreamQuarantine},
				Limits:     tt.limits, Until: tt.until,
				Process: func(_ context.Context, messages []broker.Message) (Output, error) {
					for _, m := range messages {
						seen = append(seen, string(m.Data))
					}
					return Output{}, nil
				},
			})
			if diff := cmp.Diff(tt.want, seen); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A refusal that the broker lost is written again, as what was passed on is
// (invariant 4).
func TestALostRefusalIsWrittenAgain(t *testing.T) {
	t.Parallel()
	d, m := deps(t), metricstest.New(t)
	d.Count = m.Stage("silver")
	publish(t, d.JetStream, broker.BronzeSubject(0), "refused")
	seen := 0
	run := func() uint64 {
		t.Helper()
		err := Run(t.Context(), d, Config{
			Key: "silver.0", Stream: broker.StreamBronze, Subject: broker.BronzeSubject(0),
			OutStreams: []string{broker.StreamSilver, broker.StreamQuarantine}, Until: 1,
			Process: func(_ context.Context, messages []broker.Message) (Output, error) {
				seen += len(messages)
				return Output{Messages: []*nats.Msg{{Subject: broker.QuarantineSubject("silver", "limit"), Data: []byte("x")}}}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		quarantine, err := broker.Stream(t.Context(), d.JetStream, broker.StreamQuarantine)
		if err != nil {
			t.Fatal(err)
		}
		return quarantine.Messages
	}
	run()
	if n := run(); n != 1 || seen != 1 {
		t.Fatalf("%d refusals of %d messages that were read", n, seen)
	}
	if err := d.JetStream.DeleteStream(t.Context(), broker.StreamQuarantine); err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(t.Context(), d.JetStream, broker.DefaultTopology()); err != nil {
		t.Fatal(err)
	}
	if n := run(); n != 1 || seen != 2 {
		t.Errorf("%d refusals of %d messages that were read", n, seen)
	}
	if n := metricstest.Value(t, m, `energy_position_rewinds_total{stage="silver"}`); n != 1 {
		t.Errorf("%v rewinds are counted", n)
	}
}
