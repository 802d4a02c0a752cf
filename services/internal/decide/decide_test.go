package decide_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/decide"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/stage"
)

const document = `
units: {V: {dimension: voltage}}
metrics: {u: {kind: gauge, unit: V, min: 0, max: 300}}
`

// entry is the short name of what is decided on.
type entry = goldstore.QuarantineEntry

// deciding returns what decisions are made with, on a broker of its own.
func deciding(t *testing.T) decide.Deps {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	topology := broker.DefaultTopology()
	if err := broker.Provision(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	all, err := catalog.Epochs{}.Append(time.Time{}, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	d := decide.Deps{
		JetStream: js, Epochs: func() catalog.Epochs { return all }, Partitions: topology.Partitions,
		Decode: func(stream uint32, m broker.Message) (stage.Output, error) {
			return ingest.NewDecoder(stream, topology.Partitions).Decode([]broker.Message{m})
		},
	}
	if d.Publisher, err = broker.NewPublisher(js, broker.PublisherConfig{}); err != nil {
		t.Fatal(err)
	}
	return d
}

// publish stores a message of a producer and returns the stamp of its first reading.
func publish(t *testing.T, d decide.Deps, payload string) reading.Stamp {
	t.Helper()
	ack, err := d.JetStream.PublishMsg(t.Context(), &nats.Msg{Subject: "readings.test", Data: []byte(payload)})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := broker.Get(t.Context(), d.JetStream, broker.StreamReadings, ack.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	return reading.Stamp{Received: stored.Received.UnixNano(), Sequence: ack.Sequence}
}

// sent is what decisions have put into the streams.
type sent struct {
	readings map[reading.Stamp]reading.Reading
	again    map[reading.Stamp]*reading.Waiver // readings that were in quarantine, with their waivers
	refused  map[reading.Stamp]bool
	resolved map[reading.Stamp]reading.Resolution
	rows     int // of BRONZE
}

func allSent(t *testing.T, d decide.Deps) sent {
	t.Helper()
	s := sent{
		readings: make(map[reading.Stamp]reading.Reading), again: make(map[reading.Stamp]*reading.Waiver),
		refused: make(map[reading.Stamp]bool), resolved: make(map[reading.Stamp]reading.Resolution),
	}
	for _, data := range stored(t, d, broker.StreamBronze) {
		batch, err := wire.DecodeBronze(data)
		if err != nil {
			t.Fatal(err)
		}
		for row := range batch.Rows() {
			s.rows++
			s.readings[row.Stamp] = row.Reading
			if batch.Again() {
				s.again[row.Stamp] = row.Waived
			}
		}
	}
	for _, data := range stored(t, d, broker.StreamQuarantine) {
		batch, err := wire.DecodeQuarantine(data)
		if err != nil {
			t.Fatal(err)
		}
		for r := range batch.Refusals() {
			s.refused[r.Stamp] = true
		}
		for stamp := range batch.Resolved() {
			s.resolved[stamp] = batch.Resolution
		}
	}
	return s
}

// stored returns the messages that a stream holds.
func stored(t *testing.T, d decide.Deps, stream string) (all [][]byte) {
	t.Helper()
	status, err := broker.Stream(t.Context(), d.JetStream, stream)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= status.LastSequence; n++ {
		m, err := broker.Get(t.Context(), d.JetStream, stream, n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Data)
	}
	return all
}

// undecodable is the entry of a reading of a message that an earlier build could not
// decode.
func undecodable(message reading.Stamp, index int) entry {
	message.Index = uint32(index)
	return entry{State: goldstore.StateOpen, PayloadBytes: 2, QuarantineRow: goldstore.QuarantineRow{
		Stamp: message, Stage: "ingest", Rule: "undecodable", Rules: reading.Rules(0).With(reading.Undecodable),
		Detail: "not understood",
	}}
}

// part is the entry of a part of a message.
func part(message reading.Stamp, index int) entry {
	e := undecodable(message, index)
	e.Rule, e.Rules = "limit", reading.Rules(0).With(reading.Limit)
	return e
}

// good is a reading that can be decoded.
func good(entity int, value float64) string {
	return fmt.Sprintf(`{"entity_id":"e%d","metric":"u","unit":"V","time":"2026-06-01T12:00:00Z","value":%g}`, entity, value)
}

// TestRejudgeDecodesAMessageOnce has entries of many readings of one message: its
// readings are sent once, and only those of the entries say that they come again.
func TestRejudgeDecodesAMessageOnce(t *testing.T) {
	t.Parallel()
	d := deciding(t)
	const readings, entries = 60, 40
	payload := good(0, 1)
	for i := 1; i < readings; i++ {
		payload += "\n" + good(i, 1)
	}
	message := publish(t, d, payload)
	times, decode := 0, d.Decode
	d.Decode = func(stream uint32, m broker.Message) (stage.Output, error) {
		times++
		return decode(stream, m)
	}
	var all []entry
	for i := range entries {
		all = append(all, undecodable(message, i))
	}
	got, err := d.Rejudge(t.Context(), all)
	if err != nil || len(got.Done) != entries || len(got.Refused) != 0 {
		t.Fatalf("%+v: %v", got, err)
	}
	s := allSent(t, d)
	if times != 1 || s.rows != readings || len(s.readings) != readings {
		t.Errorf("a message of %d readings was decoded %d times and became %d rows", readings, times, s.rows)
	}
	if len(s.again) != entries || len(s.resolved) != entries || len(s.refused) != 0 {
		t.Errorf("of %d entries %d come again, %d are resolved, %d refused", entries, len(s.again), len(s.resolved), len(s.refused))
	}
}

// TestRejudgedMessagesLoseNothing has messages of which an earlier build understood
// nothing, and kept entries of the first thousand readings only. Wherever a reading
// is decoded now it is sent; all others have entries, and those that stand for them
// stay.
func TestRejudgedMessagesLoseNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		readings, every int // every so many can be decoded now
		partStays       bool
	}{
		"entries for all that is refused now": {1200, 3, false},
		"too many are refused now, too":       {1800, 3, true},
		"all are decoded":                     {1200, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deciding(t)
			texts := make([]string, tt.readings)
			for i := range texts {
				if texts[i] = "{}"; i%tt.every == 0 {
					texts[i] = good(i, 1)
				}
			}
			message := publish(t, d, "["+strings.Join(texts, ",")+"]")
			var (
				all  []entry
				open = make(map[uint32]bool) // entries that there are
			)
			for i := range 1000 {
				open[uint32(i)] = true
				if i < 10 {
					all = append(all, undecodable(message, i))
				}
			}
			kept := part(message, tt.readings)
			all = append(all, kept)
			got, err := d.Rejudge(t.Context(), all)
			if err != nil {
				t.Fatal(err)
			}
			s := allSent(t, d)
			if _, resolved := s.resolved[kept.Stamp]; resolved == tt.partStays {
				t.Errorf("the part of the message is resolved: %t, %+v", resolved, got.Refused)
			}
			for stamp := range s.refused {
				open[stamp.Index] = true
			}
			for stamp := range s.resolved {
				delete(open, stamp.Index)
			}
			for i := range tt.readings {
				stamp := message
				stamp.Index = uint32(i)
				_, in := s.readings[stamp]
				switch decodes := i%tt.every == 0; {
				case in != decodes:
					t.Fatalf("reading %d is in BRONZE: %t", i, in)
				case !in && !open[stamp.Index] && !tt.partStays:
					t.Fatalf("reading %d is neither in BRONZE nor in quarantine", i)
				}
			}
		})
	}
}

// TestRejudgeHoldsLittle: what was decoded is sent before all messages are.
func TestRejudgeHoldsLittle(t *testing.T) {
	t.Parallel()
	d := deciding(t)
	var all []entry
	long := strings.Repeat("x", 800)
	for n := range 8 {
		var lines []string
		for i := range 900 {
			lines = append(lines, strings.Replace(good(1000*n+i, 1), `:"e`, `:"`+long, 1))
		}
		all = append(all, undecodable(publish(t, d, strings.Join(lines, "\n")), 0))
	}
	decode, messages, before := d.Decode, 0, uint64(0)
	d.Decode = func(stream uint32, m broker.Message) (stage.Output, error) {
		if messages++; messages == len(all) {
			bronze, err := broker.Stream(t.Context(), d.JetStream, broker.StreamBronze)
			if err != nil {
				return stage.Output{}, err
			}
			before = bronze.LastSequence
		}
		return decode(stream, m)
	}
	got, err := d.Rejudge(t.Context(), all)
	if err != nil || len(got.Done) != len(all) || before == 0 {
		t.Errorf("%d entries are done, %d messages were sent before the last was decoded: %v", len(got.Done), before, err)
	}
	if s := allSent(t, d); len(s.readings) != 8*900 {
		t.Errorf("%d readings are sent", len(s.readings))
	}
}

// TestRejudgeOfPayloads decodes what was kept of messages that are gone.
func TestRejudgeOfPayloads(t *testing.T) {
	t.Parallel()
	d := deciding(t)
	gone := reading.Stamp{Received: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixNano(), Sequence: 77}
	type payloads = map[goldstore.QuarantineKey]string
	kept := make(payloads)
	d.Payload = func(_ context.Context, k goldstore.QuarantineKey) ([]byte, error) { return []byte(kept[k]), nil }
	for i, tt := range []struct {
		name, payload string
		change        func(*entry)
		want          string // of the refusal; empty if there is none
	}{
		{"one reading", good(1, 230), nil, ""},
		{"two readings", good(1, 230) + "\n" + good(2, 230), nil, "has 2 readings"},
		{"not decoded", `{"entity_id":`, nil, "refuses it as before"},
		{"an identifier that is too long", strings.Replace(good(1, 230), "e1", strings.Repeat("x", 5000), 1), nil, "at most 4096"},
		{"a part", good(1, 230), func(e *entry) { e.PayloadBytes = 64 << 10 }, "only a part of it was kept"},
		{"a content type that is gone", good(1, 230), func(e *entry) {
			e.Detail = `the payload with content type "application/x-protobuf; proto=other" is neither JSON nor…`
		}, "nor is its content type"},
		{"no content type", good(1, 230), func(e *entry) {
			e.Detail = `the payload with content type "" is neither JSON nor…`
		}, ""},
	} {
		e := undecodable(gone, i)
		e.Stamp.Sequence += uint64(i)
		e.PayloadBytes = int64(len(tt.payload))
		if tt.change != nil {
			tt.change(&e)
		}
		kept[e.Key()] = tt.payload
		got, err := d.Rejudge(t.Context(), []entry{e})
		if err != nil {
			t.Fatal(err)
		}
		if tt.want != "" && (len(got.Refused) != 1 || !strings.Contains(got.Refused[0].Reason, tt.want)) ||
			tt.want == "" && !slices.Equal(got.Done, []goldstore.QuarantineKey{e.Key()}) {
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		}
		s := allSent(t, d)
		if _, again := s.again[e.Stamp]; again != (tt.want == "") || (s.resolved[e.Stamp] == reading.Accepted) != again {
			t.Errorf("%s: sent %t, resolved %q", tt.name, again, s.resolved[e.Stamp])
		}
	}
}

// TestDecisions decides on entries in all states.
func TestDecisions(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	judged := func(value float64, change ...func(*entry)) entry {
		e := entry{State: goldstore.StateOpen, QuarantineRow: goldstore.QuarantineRow{
			Stamp: reading.Stamp{Received: received, Sequence: 5, Index: 1}, Stage: "silver", Rule: "out_of_range", Epoch: 1,
			Rules:   reading.Rules(0).With(reading.OutOfRange),
			Reading: reading.Reading{EntityID: "a", Metric: "u", Unit: "V", Time: received, Value: value},
		}}
		for _, c := range change {
			c(&e)
		}
		return e
	}
	in := func(s goldstore.QuarantineState) func(*entry) { return func(e *entry) { e.State = s } }
	by := reading.Decision{Person: "ann", Reason: "true", At: received + 9}
	release := func(d decide.Deps, e []entry) (decide.Result, error) { return d.Release(t.Context(), e, by) }
	early := func(d decide.Deps, e []entry) (decide.Result, error) {
		by := by
		by.At = received - 9
		return d.Release(t.Context(), e, by)
	}
	discard := func(d decide.Deps, e []entry) (decide.Result, error) { return d.Discard(t.Context(), e, by) }
	rejudge := func(d decide.Deps, e []entry) (decide.Result, error) { return d.Rejudge(t.Context(), e) }
	waived := func(at int64) *reading.Waiver {
		return &reading.Waiver{
			Rules: reading.Rules(0).With(reading.OutOfRange), Epoch: 1,
			Decision: reading.Decision{Person: "ann", Reason: "true", At: at},
		}
	}
	for name, tt := range map[string]struct {
		what    func(decide.Deps, []entry) (decide.Result, error)
		e       entry
		already bool
		refused string
		waiver  *reading.Waiver // of a release
		again   bool            // is sent to be judged
		as      reading.Resolution
	}{
		"released":                      {what: release, e: judged(400), waiver: waived(by.At), again: true},
		"released after a discard":      {what: release, e: judged(400, in(goldstore.StateDiscarded)), waiver: waived(by.At), again: true},
		"released by a clock behind":    {what: early, e: judged(400), waiver: waived(received), again: true},
		"released before":               {what: release, e: judged(400, in(goldstore.StateReleased)), already: true},
		"judged again, then released":   {what: release, e: judged(400, in(goldstore.StateJudgedAgain)), refused: "was judged again"},
		"a unit that no waiver changes": {what: release, e: judged(400, func(e *entry) { e.Reading.Unit = "kW" }), refused: "no waiver"},
		"a name that no waiver changes": {what: release, e: judged(1, func(e *entry) {
			e.Rules = reading.Rules(0).With(reading.BadIdentifier)
		}), refused: "no waiver and no catalogue"},
		"released without a reading": {what: release, e: undecodable(reading.Stamp{}, 0), refused: "could not be decoded"},
		"released of a part":         {what: release, e: part(reading.Stamp{}, 0), refused: "could not be decoded"},
		"released of what was too long": {what: release, e: judged(1, func(e *entry) {
			e.Stage, e.Rule = "ingest", "limit"
		}), refused: "kept a part of it only"},
		"discarded":                   {what: discard, e: judged(400), as: reading.Discarded},
		"discarded before":            {what: discard, e: judged(400, in(goldstore.StateDiscarded)), already: true},
		"released, then discarded":    {what: discard, e: judged(400, in(goldstore.StateReleased)), refused: "publish its withdrawal"},
		"discarded without a reading": {what: discard, e: undecodable(reading.Stamp{Received: 1}, 0), as: reading.Discarded},
		"judged as before":            {what: rejudge, e: judged(400), refused: "refuses it as before"},
		"judged anew":                 {what: rejudge, e: judged(400, func(e *entry) { e.Epoch = 0 }), again: true},
		"accepted now":                {what: rejudge, e: judged(230), again: true},
		"judged, over which judging failed": {what: rejudge, e: judged(230, func(e *entry) {
			e.Rule, e.Rules, e.Epoch = "undecodable", reading.Rules(0).With(reading.Undecodable), 0
		}), again: true},
		"judged again before": {what: rejudge, e: judged(230, in(goldstore.StateJudgedAgain)), already: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deciding(t)
			got, err := tt.what(d, []entry{tt.e})
			if err != nil {
				t.Fatal(err)
			}
			s := allSent(t, d)
			_, again := s.again[tt.e.Stamp]
			if again != tt.again || s.rows > 1 || s.resolved[tt.e.Stamp] != tt.as {
				t.Errorf("sent %+v", s)
			}
			if diff := cmp.Diff(tt.waiver, s.again[tt.e.Stamp]); diff != "" {
				t.Errorf("waiver (-want +got):\n%s", diff)
			}
			done := tt.again || tt.as != reading.Refused
			if (len(got.Done) == 1) != done || (got.Already == 1) != tt.already || (len(got.Refused) == 1) != (tt.refused != "") ||
				tt.refused != "" && !strings.Contains(got.Refused[0].Reason, tt.refused) {
				t.Errorf("%+v", got)
			}
		})
	}
}
