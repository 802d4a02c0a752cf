// Package metricstest reads metrics in tests.
package metricstest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/metrics"
)

// New returns metrics that end with the test.
func New(tb testing.TB) *metrics.Metrics {
	tb.Helper()
	m, err := metrics.New("test", "", slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatalf("metricstest: %v", err)
	}
	tb.Cleanup(func() {
		if err := m.Close(context.WithoutCancel(tb.Context())); err != nil {
			tb.Errorf("metricstest: %v", err)
		}
	})
	return m
}

// Value returns the value of a metric with its labels, such as
// energy_retries_total{stage="gold"}, and 0 where there is none.
func Value(tb testing.TB, m *metrics.Metrics, name string) float64 {
	tb.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), "GET", "/metrics", nil))
	return ValueIn(tb, w.Body.String(), name)
}

// ValueIn is Value in a text that was scraped.
func ValueIn(tb testing.TB, text, name string) float64 {
	tb.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				tb.Fatalf("metricstest: %s: %v", line, err)
			}
			return value
		}
	}
	return 0
}
