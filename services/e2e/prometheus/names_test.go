package prometheus_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// elsewhere are the metrics that docs/metrics.md names without listing them.
var elsewhere = regexp.MustCompile(`^(up|go_\w+|process_\w+|rpc_server_\w+)$`)

// ofPrometheus are labels of each series, or of buckets.
var ofPrometheus = []string{model.MetricNameLabel, "job", "instance", "le"}

// known returns the labels of each metric of docs/metrics.md, which a test of
// pkg/metrics holds against what is scraped.
func known(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(repository + "docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	name := regexp.MustCompile("`(\\w+)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.HasPrefix(cells[1], " `energy_") {
			continue
		}
		metric := name.FindStringSubmatch(cells[1])[1]
		out[metric] = []string{}
		for _, label := range name.FindAllStringSubmatch(cells[2], -1) {
			out[metric] = append(out[metric], label[1])
		}
	}
	if len(out) == 0 {
		t.Fatal("docs/metrics.md lists no metric")
	}
	return out
}

// holdNames holds what an expression names against the metrics that there are.
func holdNames(t *testing.T, where string, expr parser.Expr, known map[string][]string) {
	t.Helper()
	anywhere := append(made(expr), ofPrometheus...)
	parser.Inspect(expr, func(node parser.Node, above []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok || elsewhere.MatchString(selector.Name) {
			return nil
		}
		have, ok := known[selector.Name]
		if histogram := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(selector.Name, ""); !ok {
			have, ok = known[histogram]
		}
		if !ok {
			t.Errorf("%s: there is no metric %q", where, selector.Name)
		}
		for _, label := range named(selector, above) {
			if ok && !slices.Contains(have, label) && !slices.Contains(anywhere, label) {
				t.Errorf("%s: %s has no label %s", where, selector.Name, label)
			}
		}
		return nil
	})
}

// named returns the labels by which series are selected, and then grouped.
func named(selector *parser.VectorSelector, above []parser.Node) (out []string) {
	for _, m := range selector.LabelMatchers {
		out = append(out, m.Name)
	}
	for _, node := range above {
		if group, ok := node.(*parser.AggregateExpr); ok {
			out = append(out, group.Grouping...)
		}
	}
	return out
}

// made returns the labels that an expression makes, by label_replace.
func made(expr parser.Expr) (out []string) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if call, ok := node.(*parser.Call); ok && call.Func.Name == "label_replace" {
			out = append(out, call.Args[1].(*parser.StringLiteral).Val)
		}
		return nil
	})
	return out
}

// TestAlertsAskForWhatThereIs holds the metrics and labels of the rules against those that
// there are.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	t.Parallel()
	metrics := known(t)
	for _, rule := range alerts(t) {
		holdNames(t, rule.Name(), rule.Query(), metrics)
	}
}
