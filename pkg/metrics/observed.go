package metrics

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/energy-platform/energy/pkg/health"
)

// Health lets the state of each component be read at each scrape.
func (m *Metrics) Health(status func(context.Context) health.Status) error {
	return m.observe(func(ctx context.Context, o metric.Observer) error {
		for _, c := range status(ctx).Components {
			o.ObserveInt64(m.health, severity(c.State), labels("component", c.Name))
		}
		return nil
	}, m.health)
}

// severity is a state as a number, the greater the worse.
func severity(s health.State) int64 {
	switch s {
	case health.OK:
		return 0
	case health.Degraded:
		return 1
	default:
		return 2
	}
}

// SpansLost lets the number of spans that were not exported be read at each scrape.
func (m *Metrics) SpansLost(lost func() uint64) error {
	return m.observe(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(m.spansLost, int64(lost()))
		return nil
	}, m.spansLost)
}

// Pipeline is the state of the pipeline, as its positions and streams tell it.
type Pipeline struct {
	Stages               []StageState
	Streams              []StreamState
	Quarantine           []QuarantineState
	Missing, Redelivered uint64
}

// StageState is one stage over all its partitions.
type StageState struct {
	Name                          string
	In, Out, Quarantined, Pending uint64
	Lag                           time.Duration
}

// StreamState is one stream; a Limit of 0 is none.
type StreamState struct {
	Name                   string
	Messages, Bytes, Limit uint64
}

// QuarantineState is how many readings a rule of a stage keeps in quarantine.
type QuarantineState struct {
	Stage, Rule string
	Open        uint64
}

// pipelineTimeout bounds how long a scrape waits for broker and store.
const pipelineTimeout = 5 * time.Second

// Pipeline lets the state of the pipeline be read at each scrape. While it cannot be
// read its metrics are missing but energy_pipeline_readable, which is 0.
func (m *Metrics) Pipeline(read func(context.Context) (Pipeline, error)) error {
	return m.observe(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, pipelineTimeout)
		defer cancel()
		p, err := read(ctx)
		if err != nil {
			o.ObserveInt64(m.pipelineSeen, 0)
			m.log.WarnContext(ctx, "metrics of the pipeline are missing", "error", fmt.Errorf("read its state: %w", err))
			return nil
		}
		o.ObserveInt64(m.pipelineSeen, 1)
		m.stages(o, &p)
		m.stores(o, &p)
		return nil
	}, m.flow, m.pending, m.lag, m.missing, m.redelivered, m.streamBytes, m.streamLimit, m.streamCount, m.quarantined,
		m.pipelineSeen)
}

func (m *Metrics) stages(o metric.Observer, p *Pipeline) {
	for _, s := range p.Stages {
		for flow, n := range map[string]uint64{"in": s.In, "out": s.Out, "quarantined": s.Quarantined} {
			o.ObserveInt64(m.flow, int64(n), labels("stage", s.Name, "flow", flow))
		}
		stage := labels("stage", s.Name)
		o.ObserveInt64(m.pending, int64(s.Pending), stage)
		o.ObserveFloat64(m.lag, s.Lag.Seconds(), stage)
	}
	o.ObserveInt64(m.missing, int64(p.Missing))
	o.ObserveInt64(m.redelivered, int64(p.Redelivered))
}

func (m *Metrics) stores(o metric.Observer, p *Pipeline) {
	for _, s := range p.Streams {
		stream := labels("stream", s.Name)
		o.ObserveInt64(m.streamBytes, int64(s.Bytes), stream)
		o.ObserveInt64(m.streamCount, int64(s.Messages), stream)
		if s.Limit > 0 {
			o.ObserveInt64(m.streamLimit, int64(s.Limit), stream)
		}
	}
	for _, q := range p.Quarantine {
		o.ObserveInt64(m.quarantined, int64(q.Open), labels("stage", q.Stage, "rule", q.Rule))
	}
}
