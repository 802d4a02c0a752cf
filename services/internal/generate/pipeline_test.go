package generate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/generate"
	"github.com/energy-platform/energy/services/internal/ingest"
)

// quarantined adds the refusals among messages to counts and returns the rest.
func quarantined(t *testing.T, counts map[string]uint64, messages []*nats.Msg) (rest []broker.Message) {
	t.Helper()
	for _, m := range messages {
		if !strings.HasPrefix(m.Subject, "quarantine.") {
			rest = append(rest, broker.Message{Subject: m.Subject, Data: m.Data})
			continue
		}
		q, err := wire.DecodeQuarantine(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		counts[q.Stage+" "+q.Rule] += uint64(q.Len())
	}
	return rest
}

// TestStagesRefuseWhatTheFleetExpects runs messages through ingest and the
// cleaner, without a broker: each rule of each stage refuses as many readings as
// the truth says, and all others are passed on.
func TestStagesRefuseWhatTheFleetExpects(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	f := small(t)
	totals := f.Totals()
	want := make(map[string]uint64)
	for _, q := range totals.Quarantine {
		want[q.Defect.Stage+" "+q.Defect.Rule.String()] += q.Count
	}
	for name, format := range formats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			decoder, judge := ingest.NewDecoder(0, 1), cleaner.New(0, epochs.Only(c))
			received := f.Config().Start.Add(30 * 24 * time.Hour)
			got := make(map[string]uint64)
			taken, passed, sequence := uint64(0), uint64(0), uint64(0)
			for m := range generate.Messages(f, format, 200) {
				sequence++
				bronze, err := decoder.Decode([]broker.Message{{
					Header: nats.Header{"Content-Type": {m.ContentType}}, Data: m.Payload,
					Sequence: sequence, Received: received,
				}})
				if err != nil {
					t.Fatal(err)
				}
				taken += bronze.Counts.In
				clean, err := judge.Clean(t.Context(), quarantined(t, got, bronze.Messages))
				if err != nil {
					t.Fatal(err)
				}
				quarantined(t, got, clean.Messages)
				passed += clean.Counts.Out
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("quarantine differs:\n%s", diff)
			}
			if taken != totals.Deliveries || passed != totals.Readings {
				t.Errorf("%d taken in and %d passed on; want %d and %d", taken, passed, totals.Deliveries, totals.Readings)
			}
		})
	}
}
