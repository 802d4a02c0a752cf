package prometheus_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

const grafana = repository + "deployments/grafana/"

// dashboard is what of a dashboard of Grafana is asked.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Datasource *datasource }
	}
	Panels []struct {
		ID         int
		Title      string
		Datasource datasource
		Targets    []struct{ Expr, RawSQL string }
	}
}

type datasource struct{ Type, UID string }

// TestDashboards parses each expression, holds its metrics and labels against those that
// there are, and the sources that panels ask against those that Grafana is given. What is
// asked in SQL TestFleetDashboard of services/e2e runs.
func TestDashboards(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(grafana + "dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	metrics, sources := known(t), provisioned(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if want := "energy-" + strings.TrimSuffix(filepath.Base(file), ".json"); d.UID != want {
			t.Errorf("%s has uid %s, want %s", file, d.UID, want)
		}
		for _, v := range d.Templating.List {
			if v.Datasource != nil && !sources[*v.Datasource] {
				t.Errorf("%s asks %v, which is not provisioned", file, *v.Datasource)
			}
		}
		d.hold(t, sources, metrics)
	}
}

// hold holds the panels.
func (d *dashboard) hold(t *testing.T, sources map[datasource]bool, metrics map[string][]string) {
	t.Helper()
	intervals := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h")
	ids := make(map[int]bool)
	for _, panel := range d.Panels {
		where := d.UID + ", " + panel.Title
		if ids[panel.ID] {
			t.Errorf("%s has the id of another panel", where)
		}
		ids[panel.ID] = true
		if !sources[panel.Datasource] || len(panel.Targets) == 0 {
			t.Errorf("%s asks %v, which is not provisioned, or nothing", where, panel.Datasource)
		}
		for _, target := range panel.Targets {
			if (target.Expr == "") != (panel.Datasource.Type != "prometheus") || (target.Expr == "") == (target.RawSQL == "") {
				t.Errorf("%s does not ask in the language of its source", where)
			}
			if target.Expr == "" {
				continue
			}
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(intervals.Replace(target.Expr))
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			holdNames(t, where, expr, metrics)
		}
	}
}

// provisioned returns the sources that Grafana is given.
func provisioned(t *testing.T) map[datasource]bool {
	t.Helper()
	text, err := os.ReadFile(grafana + "provisioning/datasources/energy.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Datasources []datasource `yaml:"datasources"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	out := make(map[datasource]bool)
	for _, one := range file.Datasources {
		out[one] = true
	}
	return out
}
