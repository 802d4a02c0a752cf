package rejudge

import (
	"context"
	"log/slog"
	"testing"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/stage"
)

// TestPoisonStopsNoRejudging: a message over which judging panics goes to quarantine,
// and what stands behind it is judged again (invariant 5).
func TestPoisonStopsNoRejudging(t *testing.T) {
	t.Parallel()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err == nil {
		err = broker.Provision(t.Context(), js, broker.DefaultTopology())
	}
	if err != nil {
		t.Fatal(err)
	}
	d := stage.Deps{
		JetStream: js, Budget: broker.NewBudget(0), Logger: slog.New(slog.DiscardHandler), Report: func(string, error) {},
	}
	if d.Positions, err = broker.OpenPositions(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if d.Publisher, err = broker.NewPublisher(js, broker.PublisherConfig{}); err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"good", "poison", "good"} {
		if _, err := js.Publish(t.Context(), broker.BronzeSubject(0), []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	renew := func() cleaner.Process {
		return func(_ context.Context, messages []broker.Message) (out stage.Output, _ error) {
			for _, m := range messages {
				if string(m.Data) == "poison" {
					panic("at the disco")
				}
				out.Counts.In++
			}
			return out, nil
		}
	}
	all, err := catalog.Epochs{}.Append(broker.Message{}.Received, []byte("units: {V: {dimension: voltage}}\nmetrics: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	j := Job{Epochs: all, Limits: broker.BatchLimits{Bytes: 1 << 20}}
	if err := stage.Run(t.Context(), d, config(j, 0, 3, renew, d.Logger)); err != nil {
		t.Fatal(err)
	}
	at, _, err := d.Positions.Load(t.Context(), Key(1, 0))
	if err != nil || at.Sequence != 3 || at.Counts != (broker.Counts{In: 3, Quarantined: 1}) {
		t.Errorf("the position is %+v, %v", at, err)
	}
	kept, err := broker.Get(t.Context(), js, broker.StreamQuarantine, 1)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := wire.DecodeQuarantine(kept.Data)
	if err != nil {
		t.Fatal(err)
	}
	for r := range batch.Refusals() {
		if batch.Stage != "silver" || batch.Rule != "undecodable" || string(r.Payload) != "poison" {
			t.Errorf("the quarantine has %+v of %s by %s", r, batch.Stage, batch.Rule)
		}
	}
}
