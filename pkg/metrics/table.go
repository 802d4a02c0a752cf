package metrics

import (
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/metric"
)

// Metric is one line of the table.
type Metric struct {
	Name    string   // as OpenTelemetry has it
	Unit    string   // UCUM; in braces: what is counted
	Labels  []string // names
	Where   string   // the services that have it
	Meaning string

	kind kind
	// make makes the instrument.
	make func(metric.Meter) error
}

// kind is how Prometheus names a metric.
type kind int

const (
	plain kind = iota // a gauge or a histogram
	counter
)

// buildInfo is no instrument of OpenTelemetry: it has constant labels.
var buildInfo = Metric{
	Name: "energy.build.info", Labels: []string{"service", "version"}, Where: everywhere,
	Meaning: "1; which service this is, and of which version",
}

// Services that have a metric.
const (
	everywhere = "all"
	stages     = "ingest, silver-cleaner, gold-aggregator"
	aggregator = "gold-aggregator"
	answers    = "query"
)

// Table lists all metrics but those of libraries.
func Table() []Metric { return append([]Metric{buildInfo}, new(Metrics).table()...) }

// table binds the instruments to their lines.
func (m *Metrics) table() []Metric { return append(m.counted(), m.read()...) }

// counted is what is counted as it happens.
func (m *Metrics) counted() []Metric {
	return []Metric{
		(&Metric{
			Name: "energy.readings", Unit: "{reading}", Labels: []string{"stage", "outcome"}, Where: stages,
			Meaning: "readings that passed a stage since the process started, by outcome: `accepted`, `flagged` " +
				"(silver), `quarantined`, `duplicate` (gold)",
		}).count(&m.readings),
		(&Metric{
			Name: "energy.corrections", Unit: "{reading}", Where: aggregator,
			Meaning: "corrected and withdrawn readings, and those with a revision, that gold took in",
		}).count(&m.corrections),
		(&Metric{
			Name: "energy.rows", Unit: "{row}", Labels: []string{"change"}, Where: aggregator,
			Meaning: "rows of gold that were `inserted`, `updated`, and, counted again, `restated`: changed " +
				"after their window closed",
		}).count(&m.rows),
		(&Metric{
			Name: "energy.batch.duration", Unit: "s", Labels: []string{"stage"}, Where: stages,
			Meaning: "how long batches took, until what they gave was stored; examples have trace ids",
		}).seconds(&m.seconds),
		(&Metric{
			Name: "energy.retries", Unit: "{retry}", Labels: []string{"stage"}, Where: stages,
			Meaning: "what was done again since NATS or Postgres did not do it",
		}).count(&m.retries),
		(&Metric{
			Name: "energy.poison.messages", Unit: "{message}", Labels: []string{"stage"}, Where: stages,
			Meaning: "messages over which a stage fails, which went to quarantine",
		}).count(&m.poison),
		(&Metric{
			Name: "energy.position.rewinds", Unit: "{rewind}", Labels: []string{"stage"}, Where: stages,
			Meaning: "positions that were set back, since a stream was not the one that was read",
		}).count(&m.rewinds),
	}
}

// read is what is read at each scrape.
func (m *Metrics) read() []Metric {
	return []Metric{
		(&Metric{
			Name: "energy.health", Labels: []string{"component"}, Where: everywhere,
			Meaning: "state of a component of the service: 0 ok, 1 degraded, 2 down",
		}).gauges(&m.health),
		(&Metric{
			Name: "energy.trace.spans.lost", Unit: "{span}", Where: everywhere,
			Meaning: "spans that were to be exported and were not: the exporter's other end is away or slow",
		}).counts(&m.spansLost),
		(&Metric{
			Name: "energy.stage.readings", Unit: "{reading}", Labels: []string{"stage", "flow"}, Where: answers,
			Meaning: "readings that lie behind the positions of a stage, all partitions together: `in` = `out` + " +
				"`quarantined`, whatever was killed",
		}).counts(&m.flow),
		(&Metric{
			Name: "energy.stage.pending", Unit: "{message}", Labels: []string{"stage"}, Where: answers,
			Meaning: "messages that a stage has not dealt with",
		}).gauges(&m.pending),
		(&Metric{
			Name: "energy.stage.lag", Unit: "s", Labels: []string{"stage"}, Where: answers,
			Meaning: "age of the oldest message that a stage has not dealt with; 0 when there is none",
		}).gaugesOf(&m.lag),
		(&Metric{
			Name: "energy.readings.missing", Unit: "{reading}", Where: answers,
			Meaning: "readings that a stage passed on and the next never took in: 0, or a fault",
		}).gauges(&m.missing),
		(&Metric{
			Name: "energy.readings.redelivered", Unit: "{reading}", Where: answers,
			Meaning: "readings that a stage took in again after a crash; they changed nothing",
		}).gauges(&m.redelivered),
		(&Metric{
			Name: "energy.stream.size", Unit: "By", Labels: []string{"stream"}, Where: answers,
			Meaning: "bytes in a stream",
		}).gauges(&m.streamBytes),
		(&Metric{
			Name: "energy.stream.limit", Unit: "By", Labels: []string{"stream"}, Where: answers,
			Meaning: "bytes that a stream takes at most",
		}).gauges(&m.streamLimit),
		(&Metric{
			Name: "energy.stream.messages", Unit: "{message}", Labels: []string{"stream"}, Where: answers,
			Meaning: "messages in a stream",
		}).gauges(&m.streamCount),
		(&Metric{
			Name: "energy.quarantine.open", Unit: "{reading}", Labels: []string{"stage", "rule"}, Where: answers,
			Meaning: "readings in quarantine that nobody has decided on",
		}).gauges(&m.quarantined),
		(&Metric{
			Name: "energy.pipeline.readable", Where: answers,
			Meaning: "1 while the state of the pipeline can be read; 0: NATS or Postgres does not answer, and " +
				"what `query` tells of the pipeline is missing",
		}).gauges(&m.pipelineSeen),
	}
}

func (d *Metric) count(at *metric.Int64Counter) Metric {
	d.kind, d.make = counter, func(m metric.Meter) (err error) {
		*at, err = m.Int64Counter(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Meaning))
		return err
	}
	return *d
}

func (d *Metric) counts(at *metric.Int64ObservableCounter) Metric {
	d.kind, d.make = counter, func(m metric.Meter) (err error) {
		*at, err = m.Int64ObservableCounter(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Meaning))
		return err
	}
	return *d
}

func (d *Metric) gauges(at *metric.Int64ObservableGauge) Metric {
	d.make = func(m metric.Meter) (err error) {
		*at, err = m.Int64ObservableGauge(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Meaning))
		return err
	}
	return *d
}

func (d *Metric) gaugesOf(at *metric.Float64ObservableGauge) Metric {
	d.make = func(m metric.Meter) (err error) {
		*at, err = m.Float64ObservableGauge(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Meaning))
		return err
	}
	return *d
}

// bounds are those of the buckets of durations, in seconds: from a batch that a broker in
// memory takes to one that waits for a slow disk.
var bounds = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30}

func (d *Metric) seconds(at *metric.Float64Histogram) Metric {
	d.make = func(m metric.Meter) (err error) {
		*at, err = m.Float64Histogram(d.Name, metric.WithUnit(d.Unit), metric.WithDescription(d.Meaning),
			metric.WithExplicitBucketBoundaries(bounds...))
		return err
	}
	return *d
}

// Exported returns the name that Prometheus shows, as OpenTelemetry's specification of
// the compatibility of both makes it. Of a histogram it is what stands before _bucket,
// _sum and _count.
func (d *Metric) Exported() string {
	name := strings.ReplaceAll(d.Name, ".", "_")
	switch d.Unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
	}
	if d.kind == counter {
		name += "_total"
	}
	return name
}

// Markdown returns the table for people.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| metric | labels | service | meaning |\n|---|---|---|---|\n")
	for _, m := range Table() {
		names := "—"
		if len(m.Labels) > 0 {
			names = "`" + strings.Join(m.Labels, "` `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Exported(), names, m.Where, m.Meaning)
	}
	return b.String()
}
