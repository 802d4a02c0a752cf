package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestEveryReadingIsAccountedFor sends good readings among bad ones and rubbish:
// the good ones reach gold, each other one is in quarantine with its reason
// (invariants 4 and 5).
func TestEveryReadingIsAccountedFor(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	at := time.Now().UTC().Truncate(time.Hour).Add(-48 * time.Hour)
	reading := func(entity, metric, unit string, value any, when time.Time) string {
		return fmt.Sprintf(`{"entity_id":%q,"metric":%q,"unit":%q,"value":%v,"time":%q}`,
			entity, metric, unit, value, when.Format(time.RFC3339))
	}
	send(t, p, "application/json", "["+strings.Join([]string{
		reading("m1", "voltage", "V", 230, at),
		reading("m1", "voltage", "kW", 230, at),                      // unit_mismatch
		reading("m1", "voltage", "V", -5, at),                        // out_of_range
		reading("", "voltage", "V", 230, at),                         // missing_entity
		reading("m1", "voltage", "V", `"NaN"`, at),                   // non_finite_value
		reading("m1", "voltage", "V", 231, at.Add(time.Minute)),      //
		reading("m1", "voltage", "V", 230, at.Add(72*time.Hour)),     // time_in_future
		reading("m1", "voltage", "V", 230, time.Unix(0, 0)),          // time_too_old
		`{"entity_id":"m1","metric":"voltage"}`,                      // undecodable: no time, no value
		reading("m1", "voltage", "V", 232, at.Add(2*time.Minute)),    //
		reading(strings.Repeat("x", 5000), "voltage", "V", 230, at),  // limit
		reading(strings.Repeat("x", 300), "voltage", "V", 230, at),   // bad_identifier
		reading("m1", "windspeed", "knots", 12, at.Add(time.Minute)), // flagged only
	}, ",")+"]")
	send(t, p, "application/json", "this is no JSON at all")
	send(t, p, "application/x-protobuf", "\xff\xff\xff")
	send(t, p, "", reading("m2", "voltage", "V", 229, at)+"\n{broken\n"+reading("m2", "voltage", "V", 228, at.Add(time.Minute)))

	status := p.await(t, "everything to be accounted for", caughtUp)
	if status.GetMissing() != 0 {
		t.Errorf("%d readings are missing", status.GetMissing())
	}
	got := make(map[string]uint64)
	for _, q := range status.GetQuarantine() {
		got[q.GetStage()+" "+q.GetRule()] = q.GetReadings()
	}
	want := map[string]uint64{
		"ingest undecodable": 4, "ingest limit": 1, "silver unit_mismatch": 1, "silver out_of_range": 1,
		"silver missing_entity": 1, "silver non_finite_value": 1, "silver time_in_future": 1, "silver time_too_old": 1,
		"silver bad_identifier": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("quarantine differs:\n%s", diff)
	}
	for _, stage := range status.GetStages() {
		if stage.GetReadingsIn() != stage.GetReadingsOut()+stage.GetQuarantined() {
			t.Errorf("stage %s took in %d, passed on %d and quarantined %d", stage.GetStage(),
				stage.GetReadingsIn(), stage.GetReadingsOut(), stage.GetQuarantined())
		}
	}
	answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}},
	})
	for series, count := range map[string]uint64{"m1 voltage": 3, "m2 voltage": 2, "m1 windspeed": 1} {
		if len(answers[series]) != 1 || answers[series][0].GetReceived() != count {
			t.Errorf("%s is answered with %v, want one window of %d readings", series, answers[series], count)
		}
	}
	withReason(t, p, 12)
}

// withReason checks that each entry of the quarantine says why it is there and
// keeps what could not be decoded.
func withReason(t *testing.T, p *platform, count int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var all, reasons, payloads int
	err = conn.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE detail <> ''),
		count(*) FILTER (WHERE rule = 'undecodable' AND length(payload) > 0) FROM gold.quarantine WHERE state = 'open'`).
		Scan(&all, &reasons, &payloads)
	if err != nil || all != count || reasons != count || payloads != 4 {
		t.Errorf("%d entries, %d with a reason, %d undecodable with payload: %v", all, reasons, payloads, err)
	}
}

// send publishes one payload as any producer would and waits for its
// acknowledgement.
func send(t *testing.T, p *platform, contentType, payload string) {
	t.Helper()
	conn, err := nats.Connect(p.natsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg("readings.test")
	m.Data = []byte(payload)
	if contentType != "" {
		m.Header.Set("Content-Type", contentType)
	}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// TestRowsThatCannotBeStoredGoToQuarantine sends more versions of one reading
// than a row may hold: what is beyond goes to quarantine, neighbours reach gold,
// and the pipeline goes on.
func TestRowsThatCannotBeStoredGoToQuarantine(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	at := time.Now().UTC().Truncate(time.Hour).Add(-48 * time.Hour).Format(time.RFC3339)
	const messages, each = 14, 5000
	for m := range messages {
		var b strings.Builder
		for i := range each {
			fmt.Fprintf(&b, `{"entity_id":"loud","metric":"voltage","value":1,"revision":%d,"time":%q}`+"\n", m*each+i, at)
		}
		fmt.Fprintf(&b, `{"entity_id":"quiet","metric":"voltage","value":%d,"time":%q}`, m, at)
		send(t, p, "application/x-ndjson", b.String())
	}
	status := p.await(t, "the pipeline to go on", caughtUp)
	for _, stage := range status.GetStages() {
		if stage.GetReadingsIn() != stage.GetReadingsOut()+stage.GetQuarantined() {
			t.Errorf("stage %s took in %d, passed on %d and quarantined %d", stage.GetStage(),
				stage.GetReadingsIn(), stage.GetReadingsOut(), stage.GetQuarantined())
		}
		if stage.GetStage() == "gold" && stage.GetQuarantined() == 0 {
			t.Error("gold refused nothing")
		}
	}
	answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}},
	})
	for _, series := range []string{"loud voltage", "quiet voltage"} {
		if len(answers[series]) != 1 || answers[series][0].GetReceived() != 1 {
			t.Errorf("%s is answered with %v", series, answers[series])
		}
	}
	if s := answers["quiet voltage"][0].GetStatistics(); s.GetLast() != messages-1 {
		t.Errorf("the neighbour ends at %g", s.GetLast())
	}
}
