package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// hostile is a payload of an adversary, or of a broken device.
type hostile struct {
	name, contentType, payload string

	good    int    // readings of the entity "in" that are in it and must reach gold
	refused string // stage and rule of what is refused
	entries int    // in quarantine
	detail  string // in the reason of each
}

// attacks returns payloads in which good readings stand beside what is to be
// refused. Good readings are made by next.
func attacks(next func() string, nextProto func() []byte) []hostile {
	const undecodable = "ingest undecodable"
	deep := strings.Repeat("[", 1_000_000)
	field := func(content []byte) string { // a reading of a batch
		return "\x0a" + string(protowire.AppendBytes(nil, content))
	}
	nan, _ := proto.Marshal(&energyv1.Reading{ // cannot fail
		EntityId: "in", Metric: "voltage", Unit: "V", Value: math.NaN(), Time: timestamppb.Now(),
	})
	all := []hostile{
		{"a truncated array", "application/json", "[" + next() + "," + next() + `,{"entity_id":"in","metric":"volt`,
			2, undecodable, 1, "ends"},
		{"a truncated batch", "application/x-protobuf; proto=energy.v1.ReadingBatch",
			field(nextProto()) + field(nextProto())[:20], 1, undecodable, 1, ""},
		{"a count of 2^63", "application/x-protobuf; proto=energy.v1.ReadingBatch",
			field(nextProto()) + "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 1, undecodable, 1, ""},
		{"NaN in protobuf", "application/x-protobuf; proto=energy.v1.ReadingBatch",
			field(nextProto()) + field(nan) + field(nextProto()), 2, "silver non_finite_value", 1, "NaN"},
		{"NaN in JSON", "application/json", "[" + next() + "," +
			strings.Replace(next(), `"value":230`, `"value":"NaN"`, 1) + "]", 1, "silver non_finite_value", 1, "NaN"},
		{"deep nesting by itself", "application/json", deep, 0, undecodable, 1, ""},
		{"deep nesting in a reading", "application/x-ndjson", next() + "\n" +
			strings.Replace(next(), `"value"`, `"x":`+deep+`,"value"`, 1) + "\n" + next(), 2, undecodable, 1, ""},
		{"invalid UTF-8", "application/x-ndjson", next() + "\n" + strings.Replace(next(), `"in"`, "\"\xff\xfe\"", 1) + "\n" + next(),
			2, undecodable, 1, "UTF-8"},
		{"a string of 10 MB", "application/json", "[" + next() + `,{"entity_id":"` + strings.Repeat("y", 10_000_000) +
			`","metric":"voltage","value":1,"time":0},` + next() + "]", 2, "ingest limit", 1, "entity_id has 10000000 bytes"},
		{"a million empty objects", "application/json", "[" + next() + strings.Repeat(",{}", 1_000_000) + "," + next() + "]",
			2, undecodable, 1000, ""},
	}
	line := strings.Repeat("x", 10_000_000)
	for range 24 { // together more than a service may take
		all = append(all, hostile{"a line of 10 MB", "application/x-ndjson", next() + "\n" + line + "\n" + next(),
			2, undecodable, 1, ""})
	}
	return all
}

// TestHostilePayloads sends payloads of up to 10 MB that are truncated, lie
// about counts, nest deeply or hold no text, to service processes: each ends in
// quarantine with its reason and origin, the readings beside it and in the
// messages around it reach gold, and no service takes much memory (invariants 4
// and 5).
func TestHostilePayloads(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(config, []byte("max_payload: 16777216\nmax_pending: 67108864\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := separate(t, "--config", config)
	at, count := time.Now().UTC().Truncate(time.Hour).Add(-48*time.Hour), 0
	moment := func() time.Time { count++; return at.Add(time.Duration(count) * time.Second) }
	object := func(entity string) string {
		return fmt.Sprintf(`{"entity_id":%q,"metric":"voltage","value":230,"unit":"V","time":%q}`,
			entity, moment().Format(time.RFC3339))
	}
	all := attacks(func() string { return object("in") }, func() []byte {
		data, _ := proto.Marshal(&energyv1.Reading{ // cannot fail
			EntityId: "in", Metric: "voltage", Unit: "V", Value: 230, Time: timestamppb.New(moment()),
		})
		return data
	})
	js := f.jetStream(t)
	sequences := make([]uint64, len(all))
	in := 0
	publish := func(contentType, payload string) uint64 {
		m := &nats.Msg{Subject: "readings.hostile", Data: []byte(payload), Header: nats.Header{"Content-Type": {contentType}}}
		ack, err := js.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return ack.Sequence
	}
	for i, h := range all {
		publish("application/json", object("around"))
		sequences[i] = publish(h.contentType, h.payload)
		in += h.good
	}
	publish("application/json", object("around"))

	status := f.await(t, "everything to be accounted for", caughtUp)
	if status.GetMissing() != 0 {
		t.Errorf("%d readings are missing", status.GetMissing())
	}
	for _, stage := range status.GetStages() {
		if stage.GetReadingsIn() != stage.GetReadingsOut()+stage.GetQuarantined() {
			t.Errorf("stage %s took in %d, passed on %d and quarantined %d", stage.GetStage(),
				stage.GetReadingsIn(), stage.GetReadingsOut(), stage.GetQuarantined())
		}
	}
	want := map[string]uint64{"in voltage": uint64(in), "around voltage": uint64(len(all) + 1)}
	if diff := cmp.Diff(want, f.received(t)); diff != "" {
		t.Errorf("what reached gold differs:\n%s", diff)
	}
	entries := f.quarantine(t)
	for i, h := range all {
		h.check(t, entries[sequences[i]])
		delete(entries, sequences[i])
	}
	if len(entries) > 0 {
		t.Errorf("messages are in quarantine that nobody attacked: %v", entries)
	}
	f.modest(t)
}

// check compares what is in quarantine of one message.
func (h *hostile) check(t *testing.T, entries []entry) {
	t.Helper()
	kinds := map[string]int{}
	for _, e := range entries {
		kinds[e.stage+" "+e.rule]++
		if e.detail == "" || e.stage+" "+e.rule == h.refused && !strings.Contains(e.detail, h.detail) {
			t.Errorf("%s: the reason is %q", h.name, e.detail)
		}
		if len(e.detail) > 1000 {
			t.Errorf("%s: the reason has %d bytes", h.name, len(e.detail))
		}
		if e.rule != "undecodable" {
			continue
		}
		if len(e.payload) == 0 || !strings.Contains(h.payload, string(e.payload)) {
			t.Errorf("%s: %d bytes of payload are kept, which are none of its", h.name, len(e.payload))
		}
		if cut := len(e.payload) == 64<<10; cut && !strings.Contains(e.detail, "(payload cut to the first 65536 of ") {
			t.Errorf("%s: the payload is cut and the reason does not say so: %s", h.name, e.detail)
		}
	}
	if kinds[h.refused] != h.entries {
		t.Errorf("%s: quarantine holds %v, want %d of %s", h.name, kinds, h.entries, h.refused)
	}
}

// entry is one of quarantine.
type entry struct {
	stage, rule, detail string
	payload             []byte
}

// quarantine returns what was refused, by the sequence of the message that it
// came with.
func (p *platform) quarantine(t *testing.T) map[uint64][]entry {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `SELECT sequence, stage, rule, detail, payload FROM gold.quarantine WHERE stream = 0`)
	if err != nil {
		t.Fatal(err)
	}
	all := map[uint64][]entry{}
	var sequence uint64
	var e entry
	_, err = pgx.ForEachRow(rows, []any{&sequence, &e.stage, &e.rule, &e.detail, &e.payload}, func() error {
		all[sequence] = append(all[sequence], entry{e.stage, e.rule, e.detail, bytes.Clone(e.payload)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// received returns how many readings gold has of each series.
func (p *platform) received(t *testing.T) map[string]uint64 {
	t.Helper()
	counts := map[string]uint64{}
	for series, windows := range p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}},
	}) {
		for _, w := range windows {
			counts[series] += w.GetReceived()
		}
	}
	return counts
}

// jetStream connects to the platform's broker.
func (p *platform) jetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(p.natsURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// modest checks the most memory that each service has had in use.
func (f *fleet) modest(t *testing.T) {
	t.Helper()
	const most = 192 << 10 // KiB: a budget of 64 MiB, as much again until it is collected, and the runtime
	for name, service := range f.services {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", service.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		kib, err := strconv.Atoi(strings.Fields(peak)[0])
		if err != nil {
			t.Fatal(err)
		}
		if t.Logf("%s has had %d KiB", name, kib); kib > most {
			t.Errorf("%s has had %d KiB in use, more than %d", name, kib, most)
		}
	}
}
