package batch_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

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

// opening is a broker that calls something before a stream is read.
type opening struct {
	jetstream.JetStream
	begins func(ctx context.Context, stream string)
}

func (r opening) CreateConsumer(
	ctx context.Context, stream string, c jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	r.begins(ctx, stream)
	return r.JetStream.CreateConsumer(ctx, stream, c)
}

// TestAStreamIsHeldUntilItIsRead: what has been read of one stream takes no room while
// another is read.
func TestAStreamIsHeldUntilItIsRead(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	js, stamps := p.js, p.publish(t, 1, 2)
	p.release(t, 1, stamps[0])
	c := p.config(t, replay.Readings, job.Selection{})
	c.JetStream = opening{js, func(ctx context.Context, stream string) {
		if stream != broker.StreamReadings {
			return
		}
		p.awaitDropped(ctx, t, "hold-batch.*.BRONZE")
		if keys := p.keys(t); !strings.HasSuffix(keys, ".READINGS") || strings.Contains(keys, " ") {
			t.Errorf("positions are kept of %s", keys)
		}
		p.purge(t, broker.StreamBronze, 2)
	}}
	ran(t)(batch.Run(t.Context(), c))
	p.has(t, 1, 2, 2000001)
}

// awaitDropped returns once a position is kept no more.
func (p *platform) awaitDropped(ctx context.Context, t *testing.T, keys string) {
	t.Helper()
	kv, err := p.js.KeyValue(ctx, broker.BucketPositions)
	if err != nil {
		t.Error(err)
		return
	}
	w, err := kv.Watch(ctx, keys)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			t.Errorf("%s is kept: %v", keys, ctx.Err())
			return
		case e := <-w.Updates(): // nil is between what was there and what comes
			if e != nil && e.Operation() == jetstream.KeyValueDelete {
				return
			}
		}
	}
}

// TestNothingIsHeldInVain: once what a run has to read of one stream is gone, the others
// need not keep anything for it.
func TestNothingIsHeldInVain(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	stamps := p.publish(t, 1, 2)
	p.release(t, 1, stamps[0])
	c := p.config(t, replay.Readings, job.Selection{})
	c.JetStream = opening{p.js, func(ctx context.Context, stream string) {
		if stream == broker.StreamReadings {
			p.purge(t, stream, 2)
			return
		}
		<-ctx.Done() // it is not done with BRONZE
	}}
	b, err := batch.Run(t.Context(), c)
	refused(t, b, err)
	if keys := p.keys(t); keys != "" {
		t.Errorf("positions are kept of %s", keys)
	}
}
