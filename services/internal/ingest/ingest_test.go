package ingest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/stage"
)

var received = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func message(sequence uint64, payload string) broker.Message {
	return broker.Message{Subject: "readings.x", Sequence: sequence, Received: received, Data: []byte(payload)}
}

func decode(t *testing.T, messages ...broker.Message) stage.Output {
	t.Helper()
	out, err := ingest.NewDecoder(0, 4).Decode(messages)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReadingsGoToTheirPartitionsWithTheBrokersStamps(t *testing.T) {
	t.Parallel()
	out := decode(t,
		message(7, `[{"entity_id":"a","metric":"m","value":1,"time":1},{"entity_id":"b","metric":"m","value":2,"time":2}]`),
		message(9, `{"entity_id":"a","metric":"m","value":3,"time":3}`),
	)
	got := make(map[string][]reading.Stamp)
	for _, m := range out.Messages {
		batch, err := wire.DecodeBronze(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for row := range batch.Rows() {
			if want := broker.BronzeSubject(int(reading.Partition(row.Reading.EntityID, 4))); m.Subject != want {
				t.Errorf("entity %s is on %s, want %s", row.Reading.EntityID, m.Subject, want)
			}
			got[row.Reading.EntityID] = append(got[row.Reading.EntityID], row.Stamp)
		}
	}
	at := received.UnixNano()
	want := map[string][]reading.Stamp{
		"a": {{Received: at, Sequence: 7}, {Received: at, Sequence: 9}}, "b": {{Received: at, Sequence: 7, Index: 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if (out.Counts != broker.Counts{In: 3, Out: 3}) {
		t.Errorf("counts are %+v", out.Counts)
	}
}

func TestMessagesStayBelowTheBrokersLimit(t *testing.T) {
	t.Parallel()
	var readings []string
	for i := range 1200 {
		readings = append(readings, fmt.Sprintf(`{"entity_id":"%s%d","metric":"m","value":1,"time":1}`, strings.Repeat("x", 700), i))
	}
	out := decode(t, message(1, "["+strings.Join(readings, ",")+"]"))
	rows := 0
	for _, m := range out.Messages {
		if len(m.Data) > 128<<10 {
			t.Errorf("a message has %d bytes", len(m.Data))
		}
		batch, err := wire.DecodeBronze(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		rows += batch.Len()
	}
	if rows != 1200 {
		t.Errorf("%d of 1200 readings are there", rows)
	}
}

func TestAMessageOfFaultsDoesNotFloodTheQuarantine(t *testing.T) {
	t.Parallel()
	payload := "[" + strings.Repeat("{},", 200_000) + "{}]"
	out := decode(t, message(1, payload))
	bytes, entries := 0, 0
	var kept strings.Builder
	for _, m := range out.Messages {
		bytes += len(m.Data)
		q, err := wire.DecodeQuarantine(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		entries += q.Len()
		for r := range q.Refusals() {
			if r.Rules.Has(reading.Limit) {
				kept.Write(r.Payload)
			}
		}
	}
	if bytes > 2*len(payload) || entries != 1000+3 || !strings.HasPrefix(kept.String(), payload) {
		t.Errorf("%d bytes of faults became %d entries of %d bytes, of which %d keep the message",
			len(payload), entries, bytes, kept.Len())
	}
	if (out.Counts != broker.Counts{In: 200_001, Quarantined: 200_001}) {
		t.Errorf("counts are %+v", out.Counts)
	}
}

// TestEntriesOfOneMessageHaveKeysOfTheirOwn lets a reading that is too long stand among
// those for which the message itself is kept: gold keeps one entry a key (invariant 4).
func TestEntriesOfOneMessageHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	long := func(letter string) string {
		return fmt.Sprintf(`{"entity_id":%q,"metric":"m","value":1,"time":1}`, strings.Repeat(letter, 5000))
	}
	payload := "[" + strings.Repeat("{},", 1001) + long("x") + "," + long("y") +
		`,{"entity_id":"` + strings.Repeat("z", 600_000) + `"}]`
	type key struct {
		rule  string
		stamp reading.Stamp
	}
	seen := make(map[key]string)
	for _, m := range decode(t, message(7, payload)).Messages {
		q, err := wire.DecodeQuarantine(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for r := range q.Refusals() {
			k := key{q.Rule, r.Stamp}
			if other, taken := seen[k]; taken {
				t.Errorf("%+v is the key of two entries:\n%s\n%s", k, other, r.Detail)
			}
			seen[k] = r.Detail
		}
	}
	if want := 1000 + 2 + 3; len(seen) != want {
		t.Errorf("there are %d keys, want %d", len(seen), want)
	}
}
