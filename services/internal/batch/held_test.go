package batch_test

import (
	"testing"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

// TestNothingIsHeldWhileWriting: once a run has read, the streams may lose what it read.
func TestNothingIsHeldWhileWriting(t *testing.T) {
	t.Parallel()
	for name, rebuild := range map[string]bool{"merge": false, "rebuild": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provisioned(t)
			stamps := p.publish(t, 1, 2, 3)
			p.merge(t, wrong(11, stamps[0]))
			c := p.config(t, replay.Readings, job.Selection{})
			c.Job.Rebuild = rebuild
			purged := false
			c.Progress = func(at batch.Progress) {
				if purged || at.Step != "write" {
					return
				}
				purged = true
				if keys := p.keys(t); keys != "" {
					t.Errorf("positions are kept of %s", keys)
				}
				p.purge(t, broker.StreamReadings, 3)
			}
			ran(t)(batch.Run(t.Context(), c))
			if rebuild {
				p.has(t, 1, 2, 3)
			} else {
				p.has(t, 1, 2, 3, 11)
			}
		})
	}
}
