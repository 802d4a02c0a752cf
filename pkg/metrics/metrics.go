// Package metrics is what a process counts, for Prometheus. Names, units, labels and
// meanings stand in one table, which docs/metrics.md shows.
//
// Counts are added once a batch, so that counting costs a reading nothing. No label holds
// what producers choose, such as entities or metrics: their number has no bound.
package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// scope names the instrumentation in what is exported.
const scope = "github.com/energy-platform/energy/pkg/metrics"

// Metrics is what one process counts.
type Metrics struct {
	registry *prometheus.Registry
	provider *sdkmetric.MeterProvider
	meter    metric.Meter
	log      *slog.Logger
	instruments
}

// instruments are those of the table.
type instruments struct {
	readings    metric.Int64Counter
	corrections metric.Int64Counter
	rows        metric.Int64Counter
	seconds     metric.Float64Histogram
	retries     metric.Int64Counter
	poison      metric.Int64Counter
	rewinds     metric.Int64Counter

	health       metric.Int64ObservableGauge
	spansLost    metric.Int64ObservableCounter
	flow         metric.Int64ObservableCounter
	pending      metric.Int64ObservableGauge
	lag          metric.Float64ObservableGauge
	missing      metric.Int64ObservableGauge
	redelivered  metric.Int64ObservableGauge
	streamBytes  metric.Int64ObservableGauge
	streamLimit  metric.Int64ObservableGauge
	streamCount  metric.Int64ObservableGauge
	quarantined  metric.Int64ObservableGauge
	pipelineSeen metric.Int64ObservableGauge
}

// New makes the metrics of a process that runs a service, in a build of that version.
func New(service, version string, log *slog.Logger) (*Metrics, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: buildInfo.Exported(), Help: buildInfo.Meaning,
		ConstLabels: prometheus.Labels{"service": service, "version": version},
	})
	build.Set(1)
	registry.MustRegister(build)
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutTargetInfo(),
		otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("export metrics: %w", err)
	}
	m := &Metrics{registry: registry, provider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)), log: log}
	m.meter = m.provider.Meter(scope)
	for _, one := range m.table() {
		if err := one.make(m.meter); err != nil {
			return nil, fmt.Errorf("metric %s: %w", one.Name, err)
		}
	}
	return m, nil
}

// Meters returns what makes the instruments of libraries.
func (m *Metrics) Meters() metric.MeterProvider { return m.provider }

// Handler answers with all metrics in Prometheus' text format or, for those who ask for
// it, in OpenMetrics, which has the trace ids of examples.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog{m.log},
	})
}

// errorLog tells what could not be gathered.
type errorLog struct{ log *slog.Logger }

func (l errorLog) Println(v ...any) {
	l.log.Warn("metrics are not whole", "error", fmt.Sprint(v...))
}

// observe calls what at each scrape, for instruments whose value is read then.
func (m *Metrics) observe(what metric.Callback, instruments ...metric.Observable) error {
	if _, err := m.meter.RegisterCallback(what, instruments...); err != nil {
		return fmt.Errorf("observe metrics: %w", err)
	}
	return nil
}

// labels makes a set of labels from names and values in turn.
func labels(pairs ...string) metric.MeasurementOption {
	set := make([]attribute.KeyValue, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		set = append(set, attribute.String(pairs[i], pairs[i+1]))
	}
	return metric.WithAttributeSet(attribute.NewSet(set...))
}

// Close ends what gathers metrics.
func (m *Metrics) Close(ctx context.Context) error { return m.provider.Shutdown(ctx) }
