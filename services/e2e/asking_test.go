package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestThePastIsAsItWasAnswered records what is answered while readings come late,
// are corrected and taken back, and while the catalogue is mended, and asks for
// all of it again when all is over.
func TestThePastIsAsItWasAnswered(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.apply(t, site)
	js := p.jetStream(t)
	readings := siteReadings(siteStart, 2)
	withdrawn := siteReadings(siteStart, 1)
	for i := range withdrawn {
		withdrawn[i]["quality"], withdrawn[i]["revision"] = "withdrawn", i%2
	}
	corrected := siteReadings(siteStart, 2)
	for i := range corrected {
		corrected[i]["quality"], corrected[i]["value"] = "corrected", 100+i
	}
	ask := func(knownAt *timestamppb.Timestamp) map[string][]*energyv1.Aggregate {
		return p.aggregates(t, &energyv1.QueryAggregatesRequest{
			Window: fixedWindow(30 * time.Minute), KnownAt: knownAt,
		})
	}
	type answer struct {
		at   *timestamppb.Timestamp
		what string
		is   map[string][]*energyv1.Aggregate
	}
	var answers []answer
	record := func(what string) {
		p.await(t, "gold to catch up", caughtUp)
		answers = append(answers, answer{timestamppb.Now(), what, ask(nil)})
	}
	publishReadings(t, js, readings[3:9])
	record("some readings")
	publishReadings(t, js, readings)
	record("late ones")
	publishReadings(t, js, corrected[:11])
	record("corrections")
	p.apply(t, mended)
	record("another catalogue")
	publishReadings(t, js, withdrawn)
	record("withdrawals")
	for i, a := range answers {
		if i > 0 && cmp.Equal(answers[i-1].is, a.is, protocmp.Transform()) {
			t.Errorf("%s changed nothing", a.what)
		}
		diff := cmp.Diff(a.is, ask(a.at), protocmp.Transform(),
			protocmp.IgnoreFields(&energyv1.Aggregate{}, "revision", "last_change"))
		if diff != "" {
			t.Errorf("with %s (-answered +known):\n%s", a.what, diff)
		}
	}
}

// TestExplain has an hour of everything that makes one reading win over another.
func TestExplain(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	js := p.jetStream(t)
	sent := func(minute int, fields string) uint64 {
		m := nats.NewMsg("readings.explained")
		m.Header.Set("traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
		m.Data = fmt.Appendf(nil, `{"entity_id":"m","metric":"voltage","unit":"V","time":%q,%s}`,
			knownDay.Add(time.Duration(minute)*time.Minute).Format(time.RFC3339), fields)
		ack, err := js.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return ack.Sequence
	}
	first := sent(0, `"value":230`)
	sent(0, `"value":230`)
	wrong := sent(10, `"value":23`)
	right := sent(10, `"value":231,"quality":"corrected"`)
	estimate := sent(20, `"value":229,"quality":"estimated"`)
	actual := sent(20, `"value":232`)
	refused := sent(30, `"value":-5`)
	p.await(t, "gold to catch up", caughtUp)
	p.quarantineTool(t, "release", "--entity", "m", "--by", "ann", "--reason", "read off by hand", "--yes")
	p.await(t, "gold to catch up", caughtUp)

	want := []struct {
		sequence uint64
		outcome  energyv1.Outcome
		released bool
	}{
		{first, energyv1.Outcome_OUTCOME_COUNTS, false},
		{right, energyv1.Outcome_OUTCOME_COUNTS, false},
		{wrong, energyv1.Outcome_OUTCOME_LESSER_QUALITY, false},
		{actual, energyv1.Outcome_OUTCOME_COUNTS, false},
		{estimate, energyv1.Outcome_OUTCOME_LESSER_QUALITY, false},
		{refused, energyv1.Outcome_OUTCOME_COUNTS, true},
	}
	var got []*energyv1.ExplainedVersion
	stream, err := p.query.ExplainAggregate(t.Context(), &energyv1.ExplainAggregateRequest{
		Series: &energyv1.SeriesKey{EntityId: "m", Metric: "voltage", Unit: "V"},
		Start:  timestamppb.New(knownDay), End: timestamppb.New(knownDay.Add(time.Hour)),
	})
	for err == nil {
		var r *energyv1.ExplainAggregateResponse
		if r, err = stream.Recv(); err == nil {
			got = append(got, r.GetVersions()...)
		}
	}
	if !errors.Is(err, io.EOF) || len(got) != len(want) {
		t.Fatalf("%d versions, want %d: %v\n%v", len(got), len(want), err, got)
	}
	for i, v := range got {
		o := v.GetOrigin()
		if o.GetSequence() != want[i].sequence || v.GetOutcome() != want[i].outcome || v.GetReleased() != want[i].released {
			t.Errorf("version %d is %v, want %+v", i, v, want[i])
		}
		if v.GetReleased() && (v.GetReleasedBy() != "ann" || v.GetReleaseReason() != "read off by hand" ||
			!v.GetReleasedAt().AsTime().After(o.GetReceived().AsTime()) || !strings.Contains(v.GetReason(), "released from quarantine")) {
			t.Errorf("version %d does not tell of its release: %v", i, v)
		}
		if v.GetReason() == "" || !o.GetHeld() || o.GetStream() != "READINGS" || o.GetSubject() != "readings.explained" ||
			o.GetTraceId() != trace || o.GetSent().GetValue() != v.GetValue() || o.GetSent().GetEntityId() != "m" {
			t.Errorf("version %d: %v", i, v)
		}
	}
}
