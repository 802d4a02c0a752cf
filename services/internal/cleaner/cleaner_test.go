package cleaner_test

import (
	"context"
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
	out, err := cleaner.New(2, epochs.Fixed{Catalog: c}).Clean(t.Context(), []broker.Message{own, foreign})
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

// TestMarker: what stands behind a marker is judged under its epoch, what stands
// before under the one that is known.
func TestMarker(t *testing.T) {
	t.Parallel()
	const document = "units: {V: {dimension: voltage}}\nmetrics: {u: {kind: gauge, unit: V, max: 100}}"
	all, err := catalog.Epochs{}.Append(time.Time{}, []byte(document))
	if err == nil {
		all, err = all.Append(time.Time{}, []byte(strings.Replace(document, "100", "10", 1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	var bronze wire.BronzeEncoder
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	bronze.Add(reading.Reading{EntityID: "a", Metric: "u", Value: 50, Time: at}, reading.Stamp{Received: at, Sequence: 1})
	data, err := bronze.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	marker, err := wire.EpochMarker(2)
	if err != nil {
		t.Fatal(err)
	}
	before, mark, after := broker.Message{Data: data}, broker.Message{Data: marker}, broker.Message{Data: data}
	out, err := cleaner.New(0, lagging{all}).Clean(t.Context(), []broker.Message{before, mark, after})
	if err != nil {
		t.Fatal(err)
	}
	if (out.Counts != broker.Counts{In: 2, Out: 1, Quarantined: 1}) {
		t.Errorf("counts are %+v", out.Counts)
	}

	// Judged again, the reading's history is sent: accepted, then rejected.
	rejudger := cleaner.NewRejudger(0, all, cleaner.Again{
		Selected: func(string) bool { return true }, Mark: before.Sequence,
	})
	out, err = rejudger.Rejudge(t.Context(), []broker.Message{before})
	if err != nil || (out.Counts != broker.Counts{In: 1, Out: 2, Quarantined: 1}) {
		t.Fatalf("counts are %+v: %v", out.Counts, err)
	}
	var got []bool
	for _, m := range out.Messages[:2] {
		batch, err := wire.DecodeSilver(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range batch.Versions() {
			got = append(got, v.Rejected)
			if v.Epoch != uint64(len(got)) || v.Value != 50 {
				t.Errorf("judgement %d is %+v", len(got), v)
			}
		}
	}
	if !slices.Equal(got, []bool{false, true}) {
		t.Errorf("rejected: %v", got)
	}
}

// lagging knows the first epoch until another is asked for.
type lagging struct{ all catalog.Epochs }

func (l lagging) Newest() *catalog.Catalog { return l.all.Until(1).Newest() }

func (l lagging) Await(_ context.Context, number uint64) (*catalog.Catalog, error) {
	return l.all.Until(number).Newest(), nil
}
