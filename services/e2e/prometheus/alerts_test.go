// Package prometheus_test executes the alerts of deployments/prometheus with Prometheus'
// own engine, and holds what they and the dashboards of deployments/grafana ask for
// against the metrics that there are. It has a module of its own because of what
// Prometheus depends on.
package prometheus_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	_ "github.com/prometheus/prometheus/discovery/dns" // known to the configuration
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v2"
)

const (
	repository = "../../../"
	folder     = repository + "deployments/prometheus/"
	runbooks   = "docs/runbooks/"
	pages      = "https://github.com/energy-platform/energy/blob/main/"
)

// unitTests is a file of promtool's, as far as ours goes.
type unitTests struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	Tests              []unitTest     `yaml:"tests"`
}

type unitTest struct {
	Name        string          `yaml:"name"`
	Interval    model.Duration  `yaml:"interval"`
	InputSeries []series        `yaml:"input_series"`
	Alerts      []expectedAlert `yaml:"alert_rule_test"`
}

type series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type expectedAlert struct {
	EvalTime  model.Duration `yaml:"eval_time"`
	Alertname string         `yaml:"alertname"`
	Expected  []firing       `yaml:"exp_alerts"`
}

// firing is what is told of an alert that fires.
type firing struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// TestAlerts evaluates the rules over the series of each case. At each time that a case
// names, what it expects fires, in these words, and nothing else does.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(folder + "alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file unitTests
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	fired := make(map[string]bool)
	for _, one := range file.Tests {
		for _, alert := range one.Alerts {
			fired[alert.Alertname] = fired[alert.Alertname] || len(alert.Expected) > 0
		}
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			one.run(t, time.Duration(file.EvaluationInterval))
		})
	}
	for _, rule := range alerts(t) {
		if !fired[rule.Name()] {
			t.Errorf("%s fires in no case", rule.Name())
		}
	}
}

func (u *unitTest) run(t *testing.T, every time.Duration) {
	t.Helper()
	want := make(map[time.Duration]map[string][]firing)
	for _, alert := range u.Alerts {
		at := time.Duration(alert.EvalTime)
		if want[at] == nil {
			want[at] = make(map[string][]firing)
		}
		if len(alert.Expected) > 0 {
			want[at][alert.Alertname] = alert.Expected
		}
	}
	group := u.load(t)
	end := slices.Max(slices.Collect(maps.Keys(want)))
	for at := time.Duration(0); at <= end; at += every {
		group.Eval(t.Context(), time.Unix(0, 0).Add(at))
		expected, ok := want[at]
		delete(want, at)
		if !ok {
			continue
		}
		if diff := cmp.Diff(expected, firingNow(t, group)); diff != "" {
			t.Errorf("at %s fires (-expected +fires)\n%s", at, diff)
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing is evaluated at %v", want)
	}
}

// load returns the rules, over the series of the case.
func (u *unitTest) load(t *testing.T) *rules.Group {
	t.Helper()
	var commands strings.Builder
	fmt.Fprintf(&commands, "load %s\n", u.Interval)
	for _, s := range u.InputSeries {
		fmt.Fprintf(&commands, "  %s %s\n", s.Series, s.Values)
	}
	storage := promqltest.LoadedStorage(t, commands.String())
	t.Cleanup(func() {
		if err := storage.Close(); err != nil {
			t.Error(err)
		}
	})
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
	})
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return load(t, &rules.ManagerOptions{QueryFunc: rules.EngineQueryFunc(engine, storage), Appendable: storage})
}

// load returns the rules. There is one group of them.
func load(t *testing.T, options *rules.ManagerOptions) *rules.Group {
	t.Helper()
	options.Context, options.Logger = t.Context(), slog.New(slog.DiscardHandler)
	options.NotifyFunc = func(context.Context, string, ...*rules.Alert) {}
	groups, errs := rules.NewManager(options).LoadGroups(
		time.Minute, labels.EmptyLabels(), "", nil, false, folder+"alerts.yml")
	if len(errs) > 0 || len(groups) != 1 {
		t.Fatalf("%d groups, %v", len(groups), errs)
	}
	for _, group := range groups {
		return group
	}
	return nil
}

// alerts returns all rules.
func alerts(t *testing.T) (all []*rules.AlertingRule) {
	t.Helper()
	for _, rule := range load(t, new(rules.ManagerOptions)).Rules() {
		all = append(all, rule.(*rules.AlertingRule))
	}
	return all
}

// firingNow returns what fires since the last evaluation, by the name of the alert.
func firingNow(t *testing.T, group *rules.Group) map[string][]firing {
	t.Helper()
	out := make(map[string][]firing)
	for _, rule := range group.Rules() {
		if err := rule.LastError(); err != nil {
			t.Fatalf("%s: %v", rule.Name(), err)
		}
		for _, alert := range rule.(*rules.AlertingRule).ActiveAlerts() {
			if alert.State != rules.StateFiring {
				continue
			}
			told := alert.Labels.Map()
			delete(told, labels.AlertName)
			out[rule.Name()] = append(out[rule.Name()], firing{told, alert.Annotations.Map()})
		}
	}
	return out
}

// TestAlertsSayWhatToDo holds that each alert has a severity, says what is wrong, and
// links a runbook, whose index names the alert; docs/metrics.md has its severity.
func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, rule := range alerts(t) {
		severity := rule.Labels().Get("severity")
		if line := lineOf(t, "docs/metrics.md", rule.Name()); severity == "" || !strings.HasPrefix(line, "| "+severity) {
			t.Errorf("%s has severity %q, and in docs/metrics.md %s", rule.Name(), severity, line)
		}
		told := rule.Annotations()
		if told.Get("summary") == "" || told.Get("description") == "" {
			t.Errorf("%s does not say what is wrong", rule.Name())
		}
		page, ok := strings.CutPrefix(told.Get("runbook_url"), pages+runbooks)
		if _, err := os.Stat(repository + runbooks + page); !ok || err != nil {
			t.Errorf("%s links %q: %v", rule.Name(), told.Get("runbook_url"), err)
		}
		line := lineOf(t, runbooks+"README.md", rule.Name())
		if line == "" || page != "README.md" && !strings.Contains(line, "("+page+")") {
			t.Errorf("the index of runbooks does not lead from %s to %s", rule.Name(), page)
		}
	}
}

// lineOf returns the line of a table in a document that names an alert, "" if there is none.
func lineOf(t *testing.T, document, alert string) string {
	t.Helper()
	text, err := os.ReadFile(repository + document)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "|") && strings.Contains(line, "`"+alert+"`") {
			return line
		}
	}
	return ""
}

// TestConfiguration holds that each service is a job, of the name that alerts know it by.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	c, err := config.LoadFile(folder+"prometheus.yml", false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{folder + "alerts.yml"}; !slices.Equal(c.RuleFiles, want) {
		t.Errorf("rules are %v, want %v", c.RuleFiles, want)
	}
	var jobs []string
	for _, job := range c.ScrapeConfigs {
		jobs = append(jobs, job.JobName)
	}
	if want := []string{"ingest", "silver-cleaner", "gold-aggregator", "query"}; !slices.Equal(jobs, want) {
		t.Errorf("jobs are %v, want %v", jobs, want)
	}
}
