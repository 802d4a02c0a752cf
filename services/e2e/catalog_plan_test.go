package e2e_test

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/gold"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/apply"
)

// baseAnswers are what is answered for each base window of which something is known.
func (p *platform) baseAnswers(t *testing.T) map[string]string {
	t.Helper()
	answers := make(map[string]string)
	for series, all := range p.aggregates(t, &energyv1.QueryAggregatesRequest{Window: fixedWindow(15 * time.Minute)}) {
		for _, a := range all {
			if a.GetStatistics() == nil {
				continue
			}
			s := a.GetStatistics()
			answers[fmt.Sprint(series, " ", a.GetStart().GetSeconds())] = fmt.Sprint(
				s.GetCount(), s.GetSum(), s.GetMin(), s.GetMax(), s.GetEnergy(), s.GetAdvance(),
				s.GetGaps(), s.GetExchanges(), s.GetFlags())
		}
	}
	return answers
}

// planned runs a plan and returns the windows that it says will change, as they are
// and as they would be, with what it says besides.
func (p *platform) planned(
	t *testing.T, document string, versions int,
) (before, after map[string]string, plan apply.Plan) {
	t.Helper()
	before, after = make(map[string]string), make(map[string]string)
	plan, err := apply.PlanFor(t.Context(), apply.Deps{
		JetStream: p.jetStream(t), Store: p.store(t), Logger: slog.New(slog.DiscardHandler), PlanVersions: versions,
	}, []byte(document), func(w apply.Window) error {
		key := fmt.Sprint(w.Series.EntityID, " ", w.Series.Metric, " ", w.Start/1e9)
		if _, twice := after[key]; twice {
			t.Errorf("%s is told twice", key)
		}
		for s, to := range map[*gold.Partial]map[string]string{&w.Before: before, &w.After: after} {
			to[key] = fmt.Sprint(
				s.Count, s.Sum, s.Min, s.Max, s.Energy, s.Advance, s.Gaps, s.Exchanges, uint64(s.Flags))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return before, after, plan
}

// TestPlanIsWhatIsMade mends a wrong unit factor, a range that is too tight above and none
// below, and parameters of gold, on a live platform: every answer that the plan names
// changes as it says, and no other does (invariant 20).
func TestPlanIsWhatIsMade(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.apply(t, site)
	const entities = 6
	publishReadings(t, p.jetStream(t), siteReadings(siteStart, entities))
	p.await(t, "gold to catch up", caughtUp)
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(file, []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	content, was, sent := p.rows(t, "gold.content"), p.baseAnswers(t), silverEnd(t, p.jetStream(t))

	diff := p.cli(t, "catalog", "diff", file)
	for _, want := range []string{
		"units.dWh.den                        1000    10000", "metrics.site_voltage.max             250     300",
		"metrics.site_voltage.min             —       100", "metrics.site_power.max_gap           1h0m0s  10m0s",
	} {
		if !strings.Contains(strings.Join(strings.Fields(diff), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the difference lacks %q:\n%s", want, diff)
		}
	}
	text := p.cli(t, "catalog", "plan", file)
	t.Logf("the plan:\n%s\n%s", diff, text)
	before, after, plan := p.planned(t, mended, 0)
	wanted := map[string]uint64{
		"site_voltage refused out_of_range": entities, "site_voltage admitted out_of_range": entities,
		"site_energy altered undecodable": 4 * entities, "undeclared altered undecodable": 4 * entities,
	}
	verdicts, readings := plan.Verdicts()
	got := make(map[string]uint64)
	for i, v := range verdicts {
		got[fmt.Sprint(v.Metric, " ", v.Change, " ", v.Rule)] = readings[i]
	}
	if d := gocmp.Diff(wanted, got); d != "" {
		t.Errorf("readings that are judged otherwise (-want +got):\n%s", d)
	}
	// In passes of a few versions it is the same.
	_, inParts, parts := p.planned(t, mended, 8)
	if d := gocmp.Diff(after, inParts); d != "" || parts.Readings != plan.Readings {
		t.Errorf("in parts, with %d readings and not %d (-at once +in parts):\n%s", parts.Readings, plan.Readings, d)
	}
	sameRows(t, "content after a plan", content, p.rows(t, "gold.content"))
	if end := silverEnd(t, p.jetStream(t)); end != sent {
		t.Errorf("a plan has sent messages %d to %d", sent+1, end)
	}

	made := p.apply(t, mended)
	is := p.baseAnswers(t)
	unplanned := maps.Clone(was)
	maps.Copy(unplanned, is)
	maps.DeleteFunc(unplanned, func(key, _ string) bool { return was[key] == is[key] })
	// The energies, the voltages, what is not declared, and what lies between readings of
	// the register and of the power, which are as far apart as windows are long.
	if want := entities * (4 + 2 + 4 + 2 + 4); len(unplanned) != want || len(after) != want {
		t.Errorf("%d answers have changed, %d were planned, want %d", len(unplanned), len(after), want)
	}
	for key, answer := range after {
		const nothing = "0 0 0 0 0 0 0 0 0"
		if got := cmp.Or(is[key], nothing); got != answer {
			t.Errorf("%s was planned to be\n%s and is\n%s", key, answer, got)
		}
		if got := cmp.Or(was[key], nothing); got != before[key] {
			t.Errorf("%s was said to be\n%s and was\n%s", key, before[key], got)
		}
		delete(unplanned, key)
	}
	if len(unplanned) > 0 {
		t.Errorf("answers that no plan names have changed: %v", unplanned)
	}
	if windowsTable(t, text) != windowsTable(t, made) {
		t.Errorf("planned\n%s\nmade\n%s", text, made)
	}
	if !strings.Contains(made, "behind              0 rows") {
		t.Errorf("rows are behind:\n%s", made)
	}
	if text := p.cli(t, "catalog", "plan", file); !strings.Contains(text, "windows changed     none") {
		t.Errorf("what is applied would change something:\n%s", text)
	}
	if out := p.cli(t, "catalog", "diff", file); out != "no difference\n" {
		t.Errorf("what is applied differs:\n%s", out)
	}
}

// windowsTable returns the table of windows that change.
func windowsTable(t *testing.T, text string) string {
	t.Helper()
	lines := strings.Split(text, "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "metric ") && strings.Contains(line, "emptied") })
	if i < 0 {
		t.Fatalf("there is no table:\n%s", text)
	}
	return strings.Join(lines[i:], "\n")
}

// TestPlanOfAnEpochInForce plans what is in force and not applied, since applying it was
// stopped: the plan is of what is left, which then is made. What came in meanwhile was
// judged under the epoch.
func TestPlanOfAnEpochInForce(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.apply(t, site)
	js := p.jetStream(t)
	const entities = 6
	publishReadings(t, js, siteReadings(siteStart, entities))
	p.await(t, "gold to catch up", caughtUp)
	p.applyStopped(t, js, mended, 1)
	p.await(t, "rows to be computed anew", func(*energyv1.GetPipelineStatusResponse) bool {
		behind := 0
		p.sql(t, "SELECT count(*)::int FROM gold.positions WHERE stage = 'recompute' AND sequence < 3", nil,
			func(scan func(...any)) { scan(&behind) })
		return behind == 0
	})
	publishReadings(t, js, siteReadings(siteStart.Add(3*time.Hour), entities))
	p.await(t, "gold to catch up", caughtUp)

	was := p.baseAnswers(t)
	before, after, plan := p.planned(t, mended, 0)
	if len(after) == 0 || plan.Created {
		t.Errorf("%d windows would change, by a new epoch: %t", len(after), plan.Created)
	}
	p.apply(t, mended)
	is := p.baseAnswers(t)
	const nothing = "0 0 0 0 0 0 0 0 0"
	for key := range was {
		is[key] = cmp.Or(is[key], nothing)
	}
	for key, answer := range is {
		old := cmp.Or(was[key], nothing)
		if planned, ok := after[key]; ok && (planned != answer || before[key] != old) {
			t.Errorf("%s was planned to go from\n%s to\n%s and went from\n%s to\n%s", key, before[key], planned, old, answer)
		} else if !ok && answer != old {
			t.Errorf("%s is in no plan and went from\n%s to\n%s", key, old, answer)
		}
		delete(after, key)
	}
	if len(after) > 0 {
		t.Errorf("answers were planned that there are not: %v", after)
	}
}
