package metrics_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/metrics"
)

func open(t *testing.T) *metrics.Metrics {
	t.Helper()
	m, err := metrics.New("one", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// scrape returns what Prometheus would read.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", res.Status, err)
	}
	return string(body)
}

// everything uses each metric once.
func everything(t *testing.T, m *metrics.Metrics) {
	t.Helper()
	ctx := t.Context()
	stage := m.Stage("silver")
	for _, o := range []metrics.Outcome{metrics.Accepted, metrics.Flagged, metrics.Quarantined, metrics.Duplicate} {
		stage.Readings(ctx, o, 3)
	}
	stage.Batch(ctx, time.Now())
	stage.Retried(ctx)
	stage.Poison(ctx)
	stage.Rewound(ctx)
	m.Gold().Rows(ctx, metrics.Rows{Inserted: 1, Updated: 2, Restated: 3})
	m.Gold().Corrections(ctx, 2)
	err := errors.Join(
		m.Health(func(context.Context) health.Status {
			return health.Status{Components: []health.Component{{Name: "nats", State: health.Down}}}
		}),
		m.SpansLost(func() uint64 { return 4 }),
		m.Pipeline(func(context.Context) (metrics.Pipeline, error) {
			return metrics.Pipeline{
				Stages: []metrics.StageState{
					{Name: "gold", In: 5, Out: 4, Quarantined: 1, Pending: 2, Lag: 1500 * time.Millisecond},
				},
				Streams:    []metrics.StreamState{{Name: "SILVER", Messages: 7, Bytes: 70, Limit: 700}},
				Quarantine: []metrics.QuarantineState{{Stage: "silver", Rule: "out_of_range", Open: 9}}, Missing: 6, Redelivered: 8,
			}, nil
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsScraped holds the values that Prometheus reads against those that were
// counted.
func TestWhatIsScraped(t *testing.T) {
	t.Parallel()
	m := open(t)
	everything(t, m)
	got := scrape(t, m)
	for _, want := range []string{
		`energy_readings_total{outcome="accepted",stage="silver"} 3`,
		`energy_readings_total{outcome="flagged",stage="silver"} 3`,
		`energy_readings_total{outcome="quarantined",stage="silver"} 3`,
		`energy_readings_total{outcome="duplicate",stage="silver"} 3`,
		`energy_batch_duration_seconds_count{stage="silver"} 1`,
		`energy_retries_total{stage="silver"} 1`,
		`energy_rows_total{change="restated"} 3`,
		`energy_corrections_total 2`,
		`energy_health{component="nats"} 2`,
		`energy_trace_spans_lost_total 4`,
		`energy_stage_readings_total{flow="out",stage="gold"} 4`,
		`energy_stage_lag_seconds{stage="gold"} 1.5`,
		`energy_readings_missing 6`,
		`energy_stream_limit_bytes{stream="SILVER"} 700`,
		`energy_quarantine_open{rule="out_of_range",stage="silver"} 9`,
		`energy_pipeline_readable 1`,
		`energy_build_info{service="one",version="v1"} 1`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("there is no %s in\n%s", want, got)
		}
	}
}

// TestTheTableIsWhatThereIs holds the table, of which docs/metrics.md is made, against
// what is scraped: names, labels, and nothing besides.
func TestTheTableIsWhatThereIs(t *testing.T) {
	t.Parallel()
	m := open(t)
	everything(t, m)
	labels := make(map[string][]string) // by name, as scraped
	line := regexp.MustCompile(`(?m)^(energy_\w+?)(?:_bucket|_sum|_count)?(?:\{([^}]*)\})? `)
	for _, found := range line.FindAllStringSubmatch(scrape(t, m), -1) {
		names := []string{}
		for pair := range strings.SplitSeq(found[2], ",") {
			if name, _, ok := strings.Cut(pair, "="); ok && name != "le" {
				names = append(names, name)
			}
		}
		labels[found[1]] = names
	}
	for _, one := range metrics.Table() {
		got, ok := labels[one.Exported()]
		want := slices.Sorted(slices.Values(one.Labels))
		if !ok || !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s has labels %q, %t, want %q", one.Exported(), got, ok, want)
		}
		delete(labels, one.Exported())
	}
	for name := range labels {
		t.Errorf("%s is in no table", name)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil || !strings.Contains(string(page), metrics.Markdown()) {
		t.Errorf("docs/metrics.md, %v, does not hold the table:\n%s", err, metrics.Markdown())
	}
}

// TestExamplesHaveTraces finds the trace of a batch beside its duration.
func TestExamplesHaveTraces(t *testing.T) {
	t.Parallel()
	m := open(t)
	id := trace.TraceID{1, 2, 3}
	m.Stage("gold").Batch(trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled,
	})), time.Now())
	if got := scrape(t, m); !strings.Contains(got, `trace_id="`+id.String()+`"`) {
		t.Errorf("there is no trace in\n%s", got)
	}
}

// TestAPipelineThatCannotBeRead leaves the rest to be scraped, and says so.
func TestAPipelineThatCannotBeRead(t *testing.T) {
	t.Parallel()
	m := open(t)
	if err := m.Pipeline(func(context.Context) (metrics.Pipeline, error) {
		return metrics.Pipeline{}, errors.New("no store")
	}); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, m)
	if !strings.Contains(got, "\nenergy_pipeline_readable 0") || strings.Contains(got, "\nenergy_stage_lag") {
		t.Errorf("it reads\n%s", got)
	}
}

// BenchmarkBatch is what counting a batch costs.
func BenchmarkBatch(b *testing.B) {
	m, err := metrics.New("one", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	stage, ctx := m.Stage("silver"), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		stage.Batch(ctx, time.Now())
		stage.Readings(ctx, metrics.Accepted, 500)
		stage.Readings(ctx, metrics.Quarantined, 1)
	}
}
