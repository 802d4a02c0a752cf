package app

import (
	"context"
	"runtime/debug"

	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/metrics"
	"github.com/energy-platform/energy/pkg/telemetry"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/query"
)

// Version names the build: its module's version, and the commit if it is known.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return info.Main.Version + " " + s.Value
		}
	}
	return info.Main.Version
}

// observe lets what a process is asked anyway be read as metrics, too.
func observe(m *metrics.Metrics, monitor *health.Monitor, traces *telemetry.Telemetry) error {
	if err := m.Health(monitor.Status); err != nil {
		return err
	}
	return m.SpansLost(func() uint64 { return traces.Stats().Lost() })
}

// pipelineOf returns what reads the state of the pipeline from the query service.
func pipelineOf(s *query.Server) func(context.Context) (metrics.Pipeline, error) {
	return func(ctx context.Context) (p metrics.Pipeline, err error) {
		status, err := s.GetPipelineStatus(ctx, &energyv1.GetPipelineStatusRequest{})
		if err != nil {
			return p, err
		}
		p.Missing, p.Redelivered = status.GetMissing(), status.GetRedelivered()
		for _, one := range status.GetStages() {
			p.Stages = append(p.Stages, metrics.StageState{
				Name: one.GetStage(), In: one.GetReadingsIn(), Out: one.GetReadingsOut(), Quarantined: one.GetQuarantined(),
				Pending: one.GetPendingMessages(), Lag: one.GetLag().AsDuration(),
			})
		}
		for _, one := range status.GetStreams() {
			p.Streams = append(p.Streams, metrics.StreamState{
				Name: one.GetName(), Messages: one.GetMessages(), Bytes: one.GetBytes(), Limit: one.GetMaxBytes(),
			})
		}
		for _, one := range status.GetQuarantine() {
			p.Quarantine = append(p.Quarantine, metrics.QuarantineState{
				Stage: one.GetStage(), Rule: one.GetRule(), Open: one.GetReadings(),
			})
		}
		return p, nil
	}
}
