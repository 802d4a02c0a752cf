package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const grafana = "../../deployments/grafana/"

// sqlDashboard is what of a dashboard of Grafana is asked of Postgres.
type sqlDashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Title   string
		Targets []struct{ RawSQL, Format string }
	}
}

// dayOfReadings makes a register's advance of a kWh an hour over the day before, in
// quarters of an hour, and a reading in no unit.
func dayOfReadings(entity string, day time.Time) string {
	var b strings.Builder
	line := func(at time.Time, value float64, unit string) {
		fmt.Fprintf(&b, `{"entity_id":%q,"metric":"active_energy_import","time":%q,"value":%v,"unit":%q}`+"\n",
			entity, at.Format(time.RFC3339), value, unit)
	}
	for quarter := range 24*4 + 1 {
		line(day.Add(time.Duration(quarter)*15*time.Minute), 100+float64(quarter)/4, "kWh")
	}
	line(day, 1, "kwh")
	return b.String()
}

// TestFleetDashboard runs each query of the dashboard over the day before, with all
// entities and with one, as the role that deployments/grafana/role.sql makes: all are
// answered, and the numbers are those that were published.
func TestFleetDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(grafana + "dashboards/fleet.json")
	if err != nil {
		t.Fatal(err)
	}
	var d sqlDashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	p := embedded(t)
	now := time.Now().UTC()
	day := now.Truncate(24*time.Hour).AddDate(0, 0, -1)
	at := func(instant time.Time) string { return "'" + instant.Format(time.RFC3339) + "'::timestamptz" }
	for _, entity := range []string{"house-1", "house-2", "it's 3"} {
		send(t, p, "application/x-ndjson", dayOfReadings(entity, day))
	}
	p.await(t, "gold to catch up", caughtUp)
	conn := asGrafana(t, p)
	for entities, n := range map[string]int{"NULL": 3, "'it''s 3'": 1} {
		macros := strings.NewReplacer("now()", at(now), "$__timeFrom()", at(day), "$__timeTo()", at(now.Add(time.Hour)),
			"$entity", entities,
			"${metric:sqlstring}", "'active_energy_import'", "${zone:sqlstring}", "'UTC'")
		for _, v := range d.Templating.List {
			if v.Type == "query" {
				ask(t, conn, v.Name, macros.Replace(v.Query))
			}
		}
		answers := make(map[string]*pgconn.Result)
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				answers[panel.Title] = ask(t, conn, panel.Title, macros.Replace(target.RawSQL))
				names := columns(answers[panel.Title])
				if series := target.Format == "time_series"; series && names[0] != "time" {
					t.Errorf("%s has the columns %v", panel.Title, names)
				}
			}
		}
		for title, want := range map[string]string{
			"Selected":                 fmt.Sprintf("%d %d", n, n),
			"In quarantine":            fmt.Sprint(n),
			"Consumption in the range": fmt.Sprintf("%d kWh", n*24),
		} {
			if got := firstRow(answers[title]); got != want {
				t.Errorf("%s of %s is %q, want %q", title, entities, got, want)
			}
		}
		if got := firstRow(answers["Least complete: $metric"]); !strings.HasSuffix(got, " 1") {
			t.Errorf("the day is not complete: %s", got)
		}
	}
}

// asGrafana connects as the role of Grafana, which is there until the test ends.
func asGrafana(t *testing.T, p *platform) *pgx.Conn {
	t.Helper()
	role, err := os.ReadFile(grafana + "role.sql")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	// Roles belong to the server: the transaction is never committed.
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	makeRole := strings.ReplaceAll(string(role), ":'password'", "'secret'")
	for _, statement := range []string{"BEGIN", makeRole, makeRole, "SET ROLE grafana", "SET TIME ZONE 'UTC'"} {
		if _, err := conn.PgConn().Exec(t.Context(), statement).ReadAll(); err != nil {
			t.Fatalf("%s\n%v", statement, err)
		}
	}
	return conn
}

// ask returns the answer to one query, which has rows.
func ask(t *testing.T, conn *pgx.Conn, what, query string) *pgconn.Result {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), query).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, query)
	}
	if len(results) != 1 || len(results[0].Rows) == 0 || slices.ContainsFunc(results[0].Rows[0], isNull) {
		t.Fatalf("%s is not answered:\n%s", what, query)
	}
	return results[0]
}

func isNull(value []byte) bool { return value == nil }

func columns(r *pgconn.Result) (names []string) {
	for _, f := range r.FieldDescriptions {
		names = append(names, f.Name)
	}
	return names
}

func firstRow(r *pgconn.Result) string {
	var cells []string
	for _, cell := range r.Rows[0] {
		cells = append(cells, string(cell))
	}
	return strings.Join(cells, " ")
}
