package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/metrics/metricstest"
)

// measured is a catalogue with a metric whose windows close at once, and that flags a value.
const measured = `
units: {V: {dimension: voltage}}
metrics:
  measured: {kind: gauge, unit: V, max: 500, lateness: 1ms, expectations: {sane: {expect: value != 42.0, else: warn}}}
`

// scrape returns what Prometheus reads of the platform.
func (p *platform) scrape(t *testing.T) string {
	t.Helper()
	code, text := p.rest(t, http.MethodGet, "/metrics", "")
	if code != http.StatusOK {
		t.Fatalf("GET /metrics: %d\n%s", code, text)
	}
	return text
}

// awaitMetrics waits until metrics have these values at least.
func (p *platform) awaitMetrics(t *testing.T, wanted map[string]float64) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		text := p.scrape(t)
		missing := make(map[string]string)
		for name, want := range wanted {
			if got := metricstest.ValueIn(t, text, name); got < want {
				missing[name] = fmt.Sprintf("%v of %v", got, want)
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %v in\n%s", missing, text)
		}
	}
}

// lock keeps all others from a table until it is unlocked.
func (p *platform) lock(t *testing.T, table string) (unlock func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close(context.WithoutCancel(t.Context())) }
}

// TestMetricsMove drives each outcome, and finds each in what Prometheus reads.
// Poison and rewound positions are those of tests of the stages.
func TestMetricsMove(t *testing.T) {
	t.Parallel()
	p := embeddedWith(t, map[string]string{"ENERGY_STATEMENT_TIMEOUT": "1s"})
	p.apply(t, measured)
	value := func(minute int, value float64, more map[string]any) {
		t.Helper()
		r := map[string]any{
			"entity_id": "m", "metric": "measured", "unit": "V", "value": value,
			"time": knownDay.Add(time.Duration(minute) * time.Minute),
		}
		maps.Copy(r, more)
		payload, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		send(t, p, "application/json", string(payload))
	}
	for _, send := range []func(){
		func() { value(0, 230, nil) },
		func() { value(0, 230, nil) },                                    // a duplicate
		func() { value(1, 42, nil) },                                     // flagged; restates the window, which has closed
		func() { value(0, 231, map[string]any{"quality": "corrected"}) }, // likewise
		func() { value(2, 501, nil) },                                    // out of range
		func() { send(t, p, "application/json", "{") },                   // no reading
	} {
		send()
		p.await(t, "gold to catch up", caughtUp)
	}
	unlock := p.lock(t, "gold.positions")
	value(20, 232, nil)
	p.awaitMetrics(t, map[string]float64{`energy_retries_total{stage="gold"}`: 1})
	if text := p.scrape(t); !strings.Contains(text, "\nenergy_pipeline_readable 0\n") {
		t.Errorf("the pipeline can be read though its positions are locked:\n%s", text)
	}
	unlock()
	p.await(t, "gold to catch up", caughtUp)

	p.awaitMetrics(t, map[string]float64{
		`energy_readings_total{outcome="accepted",stage="ingest"}`:    6,
		`energy_readings_total{outcome="quarantined",stage="ingest"}`: 1,
		`energy_readings_total{outcome="accepted",stage="silver"}`:    4,
		`energy_readings_total{outcome="flagged",stage="silver"}`:     1,
		`energy_readings_total{outcome="quarantined",stage="silver"}`: 1,
		`energy_readings_total{outcome="accepted",stage="gold"}`:      4,
		`energy_readings_total{outcome="duplicate",stage="gold"}`:     1,
		`energy_corrections_total`:                                    1,
		`energy_rows_total{change="inserted"}`:                        2,
		`energy_rows_total{change="updated"}`:                         2,
		`energy_rows_total{change="restated"}`:                        2,
		`energy_batch_duration_seconds_count{stage="gold"}`:           5,
		`energy_stage_readings_total{flow="in",stage="ingest"}`:       7,
		`energy_stage_readings_total{flow="out",stage="silver"}`:      5,
		`energy_quarantine_open{rule="out_of_range",stage="silver"}`:  1,
		`energy_stream_size_bytes{stream="READINGS"}`:                 1,
		`energy_stream_limit_bytes{stream="READINGS"}`:                1,
		`energy_pipeline_readable`:                                    1,
	})
	text := p.scrape(t)
	for _, zero := range []string{
		"energy_readings_missing", `energy_stage_pending{stage="gold"}`, `energy_stage_lag_seconds{stage="gold"}`,
		`energy_health{component="postgres"}`,
	} {
		if n := metricstest.ValueIn(t, text, zero); n != 0 {
			t.Errorf("%s is %v", zero, n)
		}
	}
	for _, stage := range []string{"ingest", "silver", "gold"} {
		flow := func(name string) float64 {
			return metricstest.ValueIn(t, text, fmt.Sprintf(`energy_stage_readings_total{flow=%q,stage=%q}`, name, stage))
		}
		if in := flow("in"); in == 0 || in != flow("out")+flow("quarantined") {
			t.Errorf("%s has taken in %v readings, passed on %v and refused %v", stage, in, flow("out"), flow("quarantined"))
		}
	}
}
