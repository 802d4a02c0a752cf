package cleaner_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/stage"
)

// TestReplayEndsAsRejudging: wherever readings stood when an epoch's marker came, and
// whichever epoch was known to who judged them first, gold has of each what a replay
// gives by its receive time, also of those that came to BRONZE long after that
// (invariant 21).
func TestReplayEndsAsRejudging(t *testing.T) {
	t.Parallel()
	const document = "units: {V: {dimension: voltage}}\nmetrics: {u: {kind: gauge, unit: V, max: 100}}"
	const markedAt = 1_780_401_600_000_000_000 // a day after the readings' time
	all, err := catalog.Epochs{}.Append(time.Time{}, []byte(document))
	if err == nil { // it takes a moment from when it is in force until its markers stand
		all, err = all.Append(time.Unix(0, markedAt).Add(-time.Microsecond),
			[]byte(strings.Replace(document, "max: 100", "min: 5, max: 50", 1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	marker, err := wire.EpochMarker(2)
	if err != nil {
		t.Fatal(err)
	}
	history := marked(t, []string{document, strings.Replace(document, "max: 100", "min: 5, max: 50", 1)}, markedAt)
	judged := 0
	rapid.Check(t, func(t *rapid.T) {
		// Readings as they were received, each in a message, the marker among them: those
		// behind it were received before it or not, those before it before it.
		n := rapid.IntRange(1, 12).Draw(t, "readings")
		place := rapid.IntRange(0, n).Draw(t, "readings before the marker")
		var messages []broker.Message
		for i := range n + 1 {
			m := broker.Message{Sequence: uint64(i + 1), Received: time.Unix(0, markedAt), Data: marker}
			if i != place {
				received := rapid.Int64Range(markedAt-2000, markedAt-1).Draw(t, "received")
				if i > place && rapid.Bool().Draw(t, "behind the marker") {
					received += 2000
				}
				m.Received, m.Data = time.Unix(0, max(received, markedAt)), bronzeOf(t, received, i, false)
			}
			messages = append(messages, m)
		}
		// What came back from quarantine once all was judged again, and what ingest has passed
		// on again since it lost its position.
		rejudged := uint64(len(messages))
		for range rapid.IntRange(0, 3).Draw(t, "that came back") {
			sequence := len(messages) + 1
			received := rapid.Int64Range(markedAt-2000, markedAt+1999).Draw(t, "received")
			messages = append(messages, broker.Message{
				Sequence: uint64(sequence), Received: time.Unix(0, markedAt+5000),
				Data: bronzeOf(t, received, sequence, rapid.Bool().Draw(t, "from quarantine")),
			})
		}
		live := make(map[gold.Version]bool)
		one, _ := all.At(1)
		first := cleaner.New(0, &learning{epochs.Only(one), history})
		for len(messages) > 0 { // in batches
			k := rapid.IntRange(1, len(messages)).Draw(t, "batch")
			out, err := first.Clean(t.Context(), messages[:k])
			collectSilver(t, live, out, err)
			again := cleaner.NewRejudger(0, all, cleaner.Again{
				Selected: everyMetric, Mark: uint64(place + 1), Before: time.Unix(0, markedAt),
				Since: func(uint64) uint64 { return 1 },
			})
			before := slices.IndexFunc(messages[:k], func(m broker.Message) bool { return m.Sequence > rejudged })
			if before < 0 {
				before = k
			}
			out, err = again.Rejudge(t.Context(), messages[:before])
			collectSilver(t, live, out, err)

			replayed := make(map[gold.Version]bool)
			out, err = cleaner.New(0, history).Clean(t.Context(), messages[:k])
			collectSilver(t, replayed, out, err)
			if diff := cmp.Diff(replayed, live); diff != "" {
				t.Fatalf("(-replayed +live):\n%s", diff)
			}
			judged += len(live)
			messages = messages[k:]
			clear(live)
		}
	})
	if judged == 0 {
		t.Error("all readings are refused")
	}
}

// learning knows the first epoch until another is asked for, and that from then on.
type learning struct{ known, history *epochs.History }

func (*learning) Renew(context.Context) error { return nil }

func (l *learning) Known(_ context.Context, number uint64) (*epochs.History, error) {
	if number > l.known.Epochs.Len() {
		l.known = l.history
	}
	return l.known, nil
}

// marked returns the history of epochs with these documents, the last of which has
// markers of that time, in Unix ns, and is applied.
func marked(t *testing.T, documents []string, at int64) *epochs.History {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err == nil {
		err = broker.Provision(t.Context(), js, broker.DefaultTopology())
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := broker.OpenEpochs(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(len(documents))
	for i, document := range documents {
		if err := store.Add(t.Context(), uint64(i+1), []byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	err = store.SetMarks(t.Context(), last, broker.Marks{Since: last - 1, Behind: time.Unix(0, at)}, 0)
	if err == nil {
		err = store.SetApplied(t.Context(), last)
	}
	if err != nil {
		t.Fatal(err)
	}
	history, err := epochs.LoadHistory(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return history
}

// bronzeOf returns a message with one reading, which may come back from quarantine.
func bronzeOf(t *rapid.T, received int64, i int, again bool) []byte {
	var e wire.BronzeEncoder
	at := time.Date(2026, 6, 1, 12, 0, i, 0, time.UTC).UnixNano()
	add := e.Add
	if again {
		add = func(r reading.Reading, s reading.Stamp) { e.Release(r, s, nil) }
	}
	add(reading.Reading{
		EntityID: "a", Metric: "u", Unit: "V", Time: at, Value: rapid.SampledFrom([]float64{1, 20, 70, 200}).Draw(t, "value"),
	}, reading.Stamp{Received: received, Sequence: uint64(i)})
	data, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func collectSilver(t *rapid.T, into map[gold.Version]bool, out stage.Output, err error) {
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range out.Messages {
		if m.Subject != broker.SilverSubject(0) {
			continue
		}
		batch, err := wire.DecodeSilver(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range batch.Versions() {
			into[v] = true
		}
	}
}
