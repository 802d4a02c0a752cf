package cleaner_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/stage"
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
	out, err := cleaner.New(2, epochs.Only(c)).Clean(t.Context(), []broker.Message{own, foreign})
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
		Selected: everyMetric, Mark: before.Sequence, Since: func(uint64) uint64 { return 1 },
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

func everyMetric(string) bool { return true }

// TestRejudgedReadingsTellTheQuarantine judges readings again that epochs of a
// growing range have refused, or never judged.
func TestRejudgedReadingsTellTheQuarantine(t *testing.T) {
	t.Parallel()
	all := growing(t, 300, 500, 550)
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	const behindSecond = 9 // what stands there no epoch before the second has judged
	for name, tt := range map[string]struct {
		value    float64
		sequence uint64
		again    bool
		waiver   *reading.Waiver
		want     reading.Resolution
	}{
		"all epochs accept it":                                    {value: 230, sequence: 1},
		"the first refused it":                                    {value: 400, sequence: 1, want: reading.Accepted},
		"the first would have refused it":                         {value: 400, sequence: behindSecond},
		"the second refused it":                                   {value: 520, sequence: behindSecond, want: reading.Accepted},
		"all refuse it":                                           {value: 600, sequence: 1},
		"it came back from quarantine":                            {value: 400, sequence: behindSecond, again: true, want: reading.Accepted},
		"it came back from quarantine, and no epoch refuses that": {value: 230, sequence: 1, again: true, want: reading.Accepted},
		"it was released": {value: 600, sequence: behindSecond, again: true, waiver: &reading.Waiver{
			Rules: reading.Rules(0).With(reading.OutOfRange), Epoch: 2, Decision: reading.Decision{Person: "ann", At: at + 1},
		}, want: reading.Released},
	} {
		var bronze wire.BronzeEncoder
		r, stamp := reading.Reading{EntityID: "a", Metric: "u", Value: tt.value, Time: at}, reading.Stamp{Received: at, Sequence: 1}
		if tt.again {
			bronze.Release(r, stamp, tt.waiver)
		} else {
			bronze.Add(r, stamp)
		}
		data, err := bronze.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		rejudger := cleaner.NewRejudger(0, all, cleaner.Again{
			Selected: everyMetric, Mark: tt.sequence,
			Since: func(sequence uint64) uint64 {
				if sequence >= behindSecond {
					return 2
				}
				return 1
			},
		})
		out, err := rejudger.Rejudge(t.Context(), []broker.Message{{Sequence: tt.sequence, Data: data}})
		if err != nil {
			t.Fatal(err)
		}
		if got := resolution(t, out, 3, stamp); got != tt.want {
			t.Errorf("%s: the quarantine is told %q, want %q", name, got, tt.want)
		}
	}
}

// growing returns epochs of a metric u whose greatest value is each of these.
func growing(t *testing.T, greatest ...int) (all catalog.Epochs) {
	t.Helper()
	for _, limit := range greatest {
		document := fmt.Sprintf("units: {V: {dimension: voltage}}\nmetrics: {u: {kind: gauge, unit: V, max: %d}}", limit)
		var err error
		if all, err = all.Append(time.Time{}, []byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// resolution returns what the quarantine is told of the reading with that stamp,
// Refused if nothing. All of it is to be by that epoch.
func resolution(t *testing.T, out stage.Output, epoch uint64, stamp reading.Stamp) (as reading.Resolution) {
	t.Helper()
	for _, m := range out.Messages {
		if !strings.HasPrefix(m.Subject, "quarantine.") {
			continue
		}
		q, err := wire.DecodeQuarantine(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for of := range q.Resolved() {
			if as != reading.Refused || of != stamp || q.Epoch != epoch || q.Stage != "silver" {
				t.Errorf("the quarantine is told %s of %+v by epoch %d", q.Resolution, of, q.Epoch)
			}
			as = q.Resolution
		}
	}
	return as
}

// TestReadingsThatComeBackTellTheQuarantine judges readings that were in quarantine,
// as they come.
func TestReadingsThatComeBackTellTheQuarantine(t *testing.T) {
	t.Parallel()
	all := growing(t, 300)
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	waiver := &reading.Waiver{
		Rules: reading.Rules(0).With(reading.OutOfRange), Epoch: 1, Decision: reading.Decision{Person: "ann", At: at + 1},
	}
	for name, tt := range map[string]struct {
		value  float64
		again  bool
		waiver *reading.Waiver
		want   reading.Resolution
		counts broker.Counts
	}{
		"a new one":         {value: 230, counts: broker.Counts{In: 1, Out: 1}},
		"accepted":          {value: 230, again: true, want: reading.Accepted, counts: broker.Counts{In: 1, Out: 1, Again: 1}},
		"refused as before": {value: 400, again: true, counts: broker.Counts{In: 1, Quarantined: 1, Again: 1}},
		"released": {
			value: 400, again: true, waiver: waiver, want: reading.Released, counts: broker.Counts{In: 1, Out: 1, Again: 1}},
		"released without need": {
			value: 230, again: true, waiver: waiver, want: reading.Accepted, counts: broker.Counts{In: 1, Out: 1, Again: 1}},
	} {
		var bronze wire.BronzeEncoder
		r, stamp := reading.Reading{EntityID: "a", Metric: "u", Value: tt.value, Time: at}, reading.Stamp{Received: at, Sequence: 1}
		if tt.again {
			bronze.Release(r, stamp, tt.waiver)
		} else {
			bronze.Add(r, stamp)
		}
		data, err := bronze.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cleaner.New(0, epochs.Only(all.Newest())).Clean(t.Context(), []broker.Message{{Data: data}})
		if err != nil {
			t.Fatal(err)
		}
		if got := resolution(t, out, 1, stamp); got != tt.want || out.Counts != tt.counts {
			t.Errorf("%s: the quarantine is told %q, want %q; counts are %+v", name, got, tt.want, out.Counts)
		}
	}
}

// lagging knows the first epoch until another is asked for.
type lagging struct{ all catalog.Epochs }

func (lagging) Renew(context.Context) error { return nil }

func (l lagging) Known(_ context.Context, number uint64) (*epochs.History, error) {
	known := l.all.Until(max(number, 1))
	return &epochs.History{Epochs: known, Applied: known.Len()}, nil
}

// TestASuccessorJudgesByWhatStandsBehindIt: who takes a partition over has not been told
// yet of an epoch whose marker its predecessor has passed, and judges by it all the same
// (invariant 21).
func TestASuccessorJudgesByWhatStandsBehindIt(t *testing.T) {
	t.Parallel()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err == nil {
		err = broker.Provision(t.Context(), js, broker.DefaultTopology())
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := broker.OpenEpochs(t.Context(), js)
	const document = "units: {V: {dimension: voltage}}\nmetrics: {u: {kind: gauge, unit: V, max: 300}}"
	if err == nil {
		err = epochs.Ensure(t.Context(), store, []byte(document))
	}
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	follower, err := epochs.Follow(t.Context(), store, func(error) {}, log) // nobody tells it of another
	if err == nil {
		err = store.Add(t.Context(), 2, []byte(strings.Replace(document, "300", "200", 1)))
	}
	if err == nil { // they stand before the position at which the successor begins
		err = store.SetMarks(t.Context(), 2, broker.Marks{Since: 1, Behind: time.Unix(0, 1)}, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := cleaner.New(0, follower).Clean(t.Context(), []broker.Message{bronzeWith(t, 9, false, 100, 250)})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"passed 100", "silver 250 by out_of_range"}
	if diff := cmp.Diff(want, gave(t, out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
