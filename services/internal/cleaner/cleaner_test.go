package cleaner_test

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
)

func TestCleaner(t *testing.T) {
	t.Parallel()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	var bronze wire.BronzeEncoder
	for i, r := range []reading.Reading{
		{EntityID: "a", Metric: "voltage", Unit: "kV", Value: 0.23, Time: received.UnixNano()},
		{EntityID: "a", Metric: "voltage", Unit: "kW", Value: 1, Time: received.UnixNano()},
		{EntityID: "a", Metric: "voltage", Unit: "V", Value: -1, Time: 0},
	} {
		bronze.Add(r, reading.Stamp{Received: received.UnixNano(), Sequence: 5, Index: uint32(i)})
	}
	data, err := bronze.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	foreign := broker.Message{Subject: "bronze.2", Sequence: 8, Received: received, Data: []byte("\xff")}
	own := broker.Message{Sequence: 7, Received: received, Data: data}
	out, err := cleaner.New(2, silver.NewJudge(c)).Clean([]broker.Message{own, foreign})
	if err != nil {
		t.Fatal(err)
	}
	if (out.Counts != broker.Counts{In: 4, Out: 1, Quarantined: 3}) {
		t.Errorf("counts are %+v", out.Counts)
	}
	refused := make(map[string]string)
	for _, m := range out.Messages {
		if m.Subject == "silver.2" {
			batch, err := wire.DecodeSilver(m.Data)
			if err != nil || batch.Len() != 1 {
				t.Fatalf("silver has %d rows: %v", batch.Len(), err)
			}
			for series, v := range batch.Versions() {
				if series.Unit != "V" || v.Value != 230 || v.Epoch != c.Epoch() || v.Stamp.Sequence != 5 {
					t.Errorf("silver has %s %+v", series, v)
				}
			}
			continue
		}
		q, err := wire.DecodeQuarantine(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for r := range q.Refusals() {
			refused[m.Subject] = r.Rules.String()
		}
	}
	want := map[string]string{
		"quarantine.silver.unit_mismatch": "unit_mismatch",
		"quarantine.silver.out_of_range":  "out_of_range,time_too_old",
		"quarantine.silver.undecodable":   "undecodable",
	}
	for subject, rules := range want {
		if refused[subject] != rules {
			t.Errorf("%s holds rules %q, want %q; all: %v", subject, refused[subject], rules, refused)
		}
	}
}
