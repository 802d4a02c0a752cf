package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/services/internal/apply"
)

// rowStatistics are what rows say of their readings, by row, as Postgres has them.
func (p *platform) rowStatistics(t *testing.T) map[string]string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	result, err := conn.Query(t.Context(), `
SELECT concat_ws(' ', entity, metric, unit, extract(epoch FROM start)::bigint),
	concat_ws(' ', count, sum, min, max, energy, advance, gaps, exchanges, flags) FROM gold.values WHERE count IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	var key, row string
	_, err = pgx.ForEachRow(result, []any{&key, &row}, func() error {
		rows[key] = row
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// planned runs a plan and returns the rows that it says will change, as they would be
// and as they are, with what it says besides.
func (p *platform) planned(
	t *testing.T, document string, versions int,
) (before, after map[string]string, plan apply.Plan) {
	t.Helper()
	before, after = make(map[string]string), make(map[string]string)
	plan, err := apply.PlanFor(t.Context(), apply.Deps{
		JetStream: p.jetStream(t), Store: p.store(t), Logger: slog.New(slog.DiscardHandler), PlanVersions: versions,
	}, []byte(document), func(w apply.Window) error {
		key := fmt.Sprint(w.Series.EntityID, " ", w.Series.Metric, " ", w.Series.Unit, " ", w.Start/1e9)
		if _, twice := after[key]; twice {
			t.Errorf("%s is told twice", key)
		}
		s := w.Before
		before[key] = fmt.Sprint(s.Count, s.Sum, s.Min, s.Max, s.Energy, s.Advance, s.Gaps, s.Exchanges, uint64(s.Flags))
		s = w.After
		after[key] = fmt.Sprint(s.Count, s.Sum, s.Min, s.Max, s.Energy, s.Advance, s.Gaps, s.Exchanges, uint64(s.Flags))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return before, after, plan
}

// TestPlanIsWhatIsMade mends a wrong unit factor, a range that is too tight above and
// none below, and parameters of gold, on a live platform: every row that the plan
// names changes as it says, and no other does.
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
	content, was, sent := p.rows(t, "gold.content"), p.rowStatistics(t), silverEnd(t, p.jetStream(t))

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
	if d := cmp.Diff(wanted, got); d != "" {
		t.Errorf("readings that are judged otherwise (-want +got):\n%s", d)
	}
	// In passes of a few versions it is the same.
	_, inParts, parts := p.planned(t, mended, 8)
	if d := cmp.Diff(after, inParts); d != "" || parts.Readings != plan.Readings {
		t.Errorf("in parts, with %d readings and not %d (-at once +in parts):\n%s", parts.Readings, plan.Readings, d)
	}
	sameRows(t, "content after a plan", content, p.rows(t, "gold.content"))
	if end := silverEnd(t, p.jetStream(t)); end != sent {
		t.Errorf("a plan has sent messages %d to %d", sent+1, end)
	}

	made := p.apply(t, mended)
	is := p.rowStatistics(t)
	changed := make(map[string]string)
	for key, row := range is {
		before, there := was[key]
		if empty := strings.HasPrefix(row, "0 "); before != row && (there || !empty) { // a row of rejections says nothing
			changed[key] = row
		}
	}
	if len(changed) < entities*8 {
		t.Errorf("only %d rows have changed", len(changed))
	}
	for key, row := range after {
		if got := flattened(changed[key]); got != flattened(row) {
			t.Errorf("%s was planned to be\n%s and is\n%s", key, flattened(row), got)
		}
		if got, there := was[key]; there && flattened(got) != flattened(before[key]) {
			t.Errorf("%s was said to be\n%s and was\n%s", key, flattened(before[key]), flattened(got))
		}
		delete(changed, key)
	}
	if len(changed) > 0 {
		t.Errorf("rows that no plan names have changed: %v", changed)
	}
	if windowsTable(t, text) != windowsTable(t, made) {
		t.Errorf("planned\n%s\nmade\n%s", text, made)
	}
	if !strings.Contains(made, "behind              0 rows") {
		t.Errorf("rows are behind:\n%s", made)
	}
	if text := p.cli(t, "catalog", "plan", file); !strings.Contains(text, "rows changed        none") {
		t.Errorf("what is applied would change something:\n%s", text)
	}
	if out := p.cli(t, "catalog", "diff", file); out != "no difference\n" {
		t.Errorf("what is applied differs:\n%s", out)
	}
}

// flattened makes numbers that are written in several ways one text.
func flattened(row string) string {
	fields := strings.Fields(row)
	for i, f := range fields {
		var x float64
		if _, err := fmt.Sscan(f, &x); err == nil {
			fields[i] = fmt.Sprintf("%.17g", x)
		}
	}
	return strings.Join(fields, " ")
}

// windowsTable returns the table of rows that change.
func windowsTable(t *testing.T, text string) string {
	t.Helper()
	lines := strings.Split(text, "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "metric ") && strings.Contains(line, "emptied") })
	if i < 0 {
		t.Fatalf("there is no table:\n%s", text)
	}
	return strings.Join(lines[i:], "\n")
}
