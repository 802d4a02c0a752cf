package batch_test

import (
	"context"
	"errors"
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

// TestARunOfAnotherEpochHoldsNothing: a run that was stopped while it read is waited for,
// until it is known that it cannot be gone on with.
func TestARunOfAnotherEpochHoldsNothing(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	p.publish(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := p.config(t, replay.Readings, job.Selection{})
	c.Progress = func(batch.Progress) { cancel() }
	b, err := batch.Run(ctx, c)
	if keys := p.keys(t); !errors.Is(err, context.Canceled) || keys != "hold-batch."+b.ID+".READINGS" {
		t.Errorf("it ends with %v, positions are kept of %q", err, keys)
	}
	kept, err := broker.OpenEpochs(t.Context(), p.js)
	if err == nil {
		err = kept.Add(t.Context(), 2, []byte(builtIn(t).Document()))
	}
	if err != nil {
		t.Fatal(err)
	}
	c = p.config(t, replay.Readings, job.Selection{})
	c.Job, c.Resume = job.Job{}, b.ID
	if _, err := batch.Run(t.Context(), c); !errors.Is(err, batch.ErrOtherEpoch) {
		t.Errorf("resumed: %v", err)
	}
	if keys := p.keys(t); keys != "" {
		t.Errorf("positions are kept of %s", keys)
	}
}
