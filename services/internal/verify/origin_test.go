package verify

import (
	"log/slog"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/replay"
)

// TestOrigins reads what a broker holds, a reading and the release of another, and asks
// where versions have come from that it does not give: of what this build fails over,
// which is all where no epoch is there to judge by, nobody can tell (invariant 21).
func TestOrigins(t *testing.T) {
	t.Parallel()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	topology := broker.DefaultTopology()
	topology.Partitions = 1
	if err := broker.Provision(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(t.Context(), "readings.test",
		[]byte(`{"entity_id":"a","metric":"u","unit":"V","value":1,"time":"2026-06-01T00:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := broker.Get(t.Context(), js, broker.StreamReadings, ack.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	published := reading.Stamp{Received: m.Received.UnixNano(), Sequence: ack.Sequence}
	released := reading.Stamp{Received: published.Received, Sequence: 77, Index: 2}
	unknown := reading.Stamp{Received: published.Received, Sequence: 78}
	now := time.Now().UnixNano()
	var bronze wire.BronzeEncoder
	bronze.Release(reading.Reading{EntityID: "a", Metric: "u", Unit: "V", Time: now}, released, &reading.Waiver{
		Rules: reading.Rules(0).With(reading.OutOfRange), Decision: reading.Decision{Person: "ann", At: now},
	})
	data, err := bronze.Marshal()
	if err == nil {
		_, err = js.Publish(t.Context(), broker.BronzeSubject(0), data)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := catalog.Epochs{}.Append(time.Unix(0, 0),
		[]byte("units: {V: {dimension: voltage}}\nmetrics: {u: {kind: gauge, unit: V}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	series := reading.Series{EntityID: "a", Metric: "u", Unit: "V"}
	for name, tt := range map[string]struct {
		epochs catalog.Epochs
		failed uint64
		of     []gold.Version
		want   []origin
	}{
		"this build refines it": {
			epochs: all,
			of: []gold.Version{
				{Stamp: published}, {Stamp: released, Waived: true, Released: now}, {Stamp: unknown, Waived: true, Released: now},
			},
			want: []origin{held, held, lost},
		},
		"this build fails over it": {
			failed: 2,
			of: []gold.Version{
				{Stamp: published}, {Stamp: released, Waived: true, Released: now}, {Stamp: unknown, Waived: true, Released: now},
			},
			want: []origin{failed, failed, lost},
		},
	} {
		v := verification{
			Config:   Config{JetStream: js, Layer: replay.Readings, Logger: slog.New(slog.DiscardHandler)},
			topology: topology, history: &epochs.History{Epochs: tt.epochs, Applied: 1},
			reading: replay.Reading{
				JetStream: js, Budget: broker.NewBudget(0), Logger: slog.New(slog.DiscardHandler),
				Limits: broker.BatchLimits{Bytes: 1 << 20},
			},
			coverage: coverage{
				layer: replay.Readings, live: true, ingested: []uint64{99},
				tails: []*pending{newPending(1)}, quarantined: newPending(1),
			},
		}
		for kind := range v.groups {
			v.groups[kind] = gold.NewCollector(all.Newest())
		}
		if v.trail, err = replay.NewTrail(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = v.trail.Close() })
		v.gathered, err = replay.NewGathering(t.TempDir(), buckets, func(reading.Series) int { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = v.gathered.Close() })
		if v.coverage.streams, err = v.statuses(t.Context()); err != nil {
			t.Fatal(err)
		}
		// There is no database to look refusals up in.
		if err := v.gather(t.Context()); err != nil || v.report.Failed != tt.failed || v.report.Readings != 2 {
			t.Errorf("%s: %+v, %v", name, v.report, err)
		}
		for i := range tt.of {
			if is, err := v.origins.of(t.Context(), &series, &tt.of[i]); is != tt.want[i] || err != nil {
				t.Errorf("%s: version %d is of origin %d, want %d; %v", name, i, is, tt.want[i], err)
			}
		}
	}
}
