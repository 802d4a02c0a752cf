package batch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

// asked is a broker that tells when a stream was asked for.
type asked struct {
	jetstream.JetStream
	told func(stream string)
}

func (a asked) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := a.JetStream.Stream(ctx, name)
	a.told(name)
	return s, err
}

// TestSweptAtAnyMoment has the beginning of what a run is to read removed after each of
// its looks at READINGS: it fails, or has read all of it before.
func TestSweptAtAnyMoment(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rebuild   bool
		selection func(received int64) job.Selection
	}{
		"a merge from a sequence on":   {false, func(int64) job.Selection { return job.Selection{FirstSequence: 1} }},
		"a merge from a time on":       {false, func(at int64) job.Selection { return job.Selection{ReceivedFrom: at} }},
		"a rebuild from a sequence on": {true, func(int64) job.Selection { return job.Selection{FirstSequence: 1} }},
		"a rebuild of all":             {true, func(int64) job.Selection { return job.Selection{} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provisioned(t)
			js := p.js
			for look, looks := int64(1), int64(1); look <= looks; look++ {
				if err := js.DeleteStream(t.Context(), broker.StreamReadings); err != nil {
					t.Fatal(err)
				}
				p.provision(t)
				p.exec(t, "TRUNCATE gold.base, gold.series CASCADE")
				stamps := p.publish(t, 1, 2, 3, 4, 5)
				p.merge(t, wrong(11, stamps[0]))
				var n atomic.Int64
				c := p.config(t, replay.Readings, tt.selection(stamps[0].Received))
				c.Job.Rebuild = tt.rebuild
				c.JetStream = asked{js, func(stream string) {
					if stream == broker.StreamReadings && n.Add(1) == look {
						p.purge(t, stream, 4)
					}
				}}
				b, err := batch.Run(t.Context(), c)
				looks = n.Load()
				switch {
				case errors.Is(err, replay.ErrNotHeld):
					refused(t, b, err)
					p.has(t, 11)
				case err != nil:
					t.Errorf("swept after look %d: %v", look, err)
				case tt.rebuild:
					p.has(t, 1, 2, 3, 4, 5)
				default:
					p.has(t, 1, 2, 3, 4, 5, 11)
				}
				if t.Failed() {
					t.Fatalf("swept after look %d of %d: the run ends with %v", look, looks, err)
				}
			}
		})
	}
}
