package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/energy-platform/energy/pkg/client"
	"github.com/energy-platform/energy/pkg/reading"
)

// asking returns a client as an application has it.
func (p *platform) asking(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.Dial(p.grpc, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// answered returns all that a call answers.
func answered[T any](t *testing.T, answers iter.Seq2[T, error]) (all []T) {
	t.Helper()
	for one, err := range answers {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// parisMidnight is when a day of March 2026 begins in Paris, where the clocks change on the 29th.
func parisMidnight(t *testing.T, day int) time.Time {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	return time.Date(2026, 3, day, 0, 0, 0, 0, zone)
}

// TestGoClientAsks asks a platform by the Go package, with two registers of which one
// is registered and corrected.
func TestGoClientAsks(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.status(t) // it stands
	entities := filepath.Join(t.TempDir(), "entities.csv")
	if err := os.WriteFile(entities, []byte("id,zone,parent\nmeter-7,Europe/Paris,site-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, says, code := tool(t, []string{"ENERGY_QUERY_ADDRESS=" + p.grpc}, "entities", "load", entities); code != 0 {
		t.Fatal(says)
	}
	var b strings.Builder
	for day, index := range []float64{100, 124, 147, 171.5} {
		for _, meter := range []string{"meter-7", "meter-8"} {
			fmt.Fprintf(&b, `{"entity_id":%q,"metric":"active_energy_import","value":%g,"time":%q}`+"\n",
				meter, index, parisMidnight(t, 28+day).Format(time.RFC3339))
		}
	}
	fmt.Fprintf(&b, `{"entity_id":"meter-7","metric":"active_energy_import","value":171,"quality":"corrected","time":%q}`+"\n",
		parisMidnight(t, 31).Format(time.RFC3339))
	send(t, p, "application/x-ndjson", b.String())
	p.await(t, "gold to have the readings", caughtUp)

	c, ctx := p.asking(t), t.Context()
	meter := reading.Series{EntityID: "meter-7", Metric: "active_energy_import", Unit: "kWh"}
	other := meter
	other.EntityID = "meter-8"
	site := client.Selector{Parents: []string{"site-1"}}
	same := func(what string, want, got any, ignore ...cmp.Option) {
		t.Helper()
		if diff := cmp.Diff(want, got, ignore...); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	registers := client.Series{Kind: client.Register, EnergyUnit: "kWh", PowerUnit: "kW", BaseWindow: 15 * time.Minute}
	first, second := registers, registers
	first.Series, second.Series = meter, other
	same("series", []client.Series{first, second}, answered(t, c.Series(ctx, client.Selector{})))
	same("series of a site", []client.Series{first}, answered(t, c.Series(ctx, site)))
	same("latest", []client.Latest{{
		Series: meter, Kind: client.Register, Time: parisMidnight(t, 31).UTC(), Value: 171, Quality: reading.Corrected,
	}}, answered(t, c.Latest(ctx, site)), cmpopts.IgnoreFields(client.Latest{}, "LastChange"))
	same("entities", []client.Entity{{ID: "meter-7", Zone: "Europe/Paris", Parent: "site-1"}},
		answered(t, c.Entities(ctx, client.Registered{})), cmpopts.EquateEmpty())

	type window struct {
		Of, Date    string
		Hours       float64
		Consumption client.Number
		Received    uint64
		Finality    client.Finality
	}
	known := func(v float64) client.Number { return client.Number{Value: v, Known: true} }
	ask := func(q client.Question) (windows []window) {
		t.Helper()
		for _, a := range answered(t, c.Aggregates(ctx, q)) {
			of := a.Series.EntityID + a.Group.Key
			windows = append(windows, window{of, a.Date, a.End.Sub(a.Start).Hours(), a.Consumption, a.Received, a.Finality})
		}
		return windows
	}
	days := client.Window{Calendar: client.Day, Zone: "Europe/Paris"}
	same("days", []window{
		{"meter-7", "2026-03-28", 24, known(24), 1, client.Provisional},
		{"meter-7", "2026-03-29", 23, known(23), 1, client.Provisional},
		{"meter-7", "2026-03-30", 24, known(24), 1, client.Provisional},
	}, ask(client.Question{
		Selector: site, Start: parisMidnight(t, 28), End: parisMidnight(t, 31), Window: days,
	}))
	same("own days of all, by parent", []window{
		{"", "2026-03-28", 24, known(24), 1, client.Provisional},
		{"site-1", "2026-03-28", 24, known(24), 1, client.Provisional},
	}, ask(client.Question{
		Start: parisMidnight(t, 28).Add(2 * time.Hour), End: parisMidnight(t, 28).Add(4 * time.Hour),
		Window: client.Window{Calendar: client.Day, EntityZone: true}, GroupBy: client.ByParent,
	}), cmpopts.EquateApprox(0, 1e-9))

	explained := answered(t, c.Explain(ctx, client.Span{
		Series: meter, Start: parisMidnight(t, 31), End: parisMidnight(t, 31).Add(time.Minute),
	}))
	if len(explained) != 1 || len(explained[0].Versions) != 2 || explained[0].Versions[0].Outcome != client.Counts ||
		explained[0].Versions[1].Outcome != client.LesserQuality || explained[0].Versions[1].Origin.Stream != "READINGS" {
		t.Errorf("explained: %+v", explained)
	}
	s, err := c.Status(ctx)
	if err != nil || !s.CaughtUp || s.Missing != 0 || s.Stages[2].Name != "gold" || s.Stages[2].ReadingsOut != 9 {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// TestGoClientNamesWhatIsWrong has the platform refuse what the Go package sends.
func TestGoClientNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.status(t) // it stands
	c, ctx := p.asking(t), t.Context()
	day := client.Window{Calendar: client.Day}
	now := time.Now()
	for field, q := range map[string]client.Question{
		"window ":                 {},
		"window.fixed ":           {Window: client.Window{Fixed: -time.Hour}},
		"window.calendar ":        {Window: client.Window{Calendar: 99}},
		"window.zone ":            {Window: client.Window{Calendar: client.Day, Zone: "Europe/Pariss"}},
		"end ":                    {Window: day, Start: now, End: now},
		"start ":                  {Window: day, Start: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"group_label ":            {Window: day, GroupBy: client.ByLabel},
		"group_by ":               {Window: day, GroupBy: -1},
		"gap_fill ":               {Window: day, GapFill: 99},
		"known_at ":               {Window: day, KnownAt: time.Unix(-1, 0)},
		"selector.entity_ids[0] ": {Window: day, Selector: client.Selector{EntityIDs: []string{""}}},
		"selector.labels[0] ":     {Window: day, Selector: client.Selector{Labels: []string{"tariff"}}},
	} {
		var last error
		for _, last = range c.Aggregates(ctx, q) {
		}
		if !errors.Is(last, client.ErrInvalid) || status.Code(last) != codes.InvalidArgument ||
			!strings.HasPrefix(last.Error(), "aggregates: "+field) {
			t.Errorf("%s: %v", field, last)
		}
	}
	for change, err := range c.Watch(ctx, client.Selection{Window: day, Token: "none"}) {
		if !errors.Is(err, client.ErrInvalid) || !strings.HasPrefix(err.Error(), "watch: resume_token ") {
			t.Errorf("a token of nobody: %+v, %v", change, err)
		}
	}
	for change, err := range c.Watch(ctx, client.Selection{Window: day, Token: "1-1"}) {
		if !errors.Is(err, client.ErrMissed) {
			t.Errorf("a token of another feed: %+v, %v", change, err)
		}
	}
}

// TestGoClientWatchesOn kills the query service under a watch, changes a window while
// it is away, and starts it again.
func TestGoClientWatchesOn(t *testing.T) {
	t.Parallel()
	f := separate(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	query, minute := f.services["query"], 0
	publish := func() {
		t.Helper()
		minute++
		send(t, &f.platform, "application/json",
			fmt.Sprintf(`{"entity_id":"m","metric":"voltage","value":%d,"time":"2026-03-01T00:%02d:00Z"}`, minute, minute))
	}
	var received []uint64
	stands, broken := false, 0
	for change, err := range f.asking(t).Watch(ctx, client.Selection{
		Window: client.Window{Fixed: time.Hour},
		Retrying: func(err error, _ time.Duration) {
			if !errors.Is(err, client.ErrUnavailable) {
				t.Error(err)
			}
			if broken++; stands && broken == 1 {
				publish()
				query.start(t)
			}
		},
	}) {
		if err != nil {
			t.Fatal(err)
		}
		if !stands {
			stands, broken = true, 0
			publish()
		}
		for _, a := range change.Aggregates {
			received = append(received, a.Received)
		}
		switch len(received) {
		case 1:
			if broken == 0 && change.Token != "" {
				query.kill(t)
			}
		case 2:
			cancel()
		}
	}
	if diff := cmp.Diff([]uint64{1, 2}, received); diff != "" || broken == 0 {
		t.Errorf("broken %d times, windows with readings: %s", broken, diff)
	}
}
