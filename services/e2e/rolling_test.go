package e2e_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/health"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// lagBound is how far behind a rolling restart may leave a stage: far more than a
// lease lasts, far less than a day whose numbers somebody waits for.
const lagBound = 30 * time.Second

// TestRollingRestart replaces the services one after the other, as an upgrade does,
// while readings come in at a steady rate: no producer sees an error, the watch has no
// gap, nothing is lost, and no stage is ever far behind.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	f := separate(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	window := &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}}
	w := f.watch(ctx, window)
	w.wait(t, "to stand", w.stands)
	producer := f.steadily(ctx, t)
	for range 2 {
		for _, name := range []string{"ingest", "silver-cleaner", "gold-aggregator", "query"} {
			before := producer.sent.Load()
			f.services[name].stop(t)
			f.services[name].start(t)
			f.serves(t, name)
			f.await(t, name+" to be at work among the others", func(s *energyv1.GetPipelineStatusResponse) bool {
				for _, stage := range s.GetStages() {
					if lag := stage.GetLag().AsDuration(); lag > lagBound {
						t.Errorf("after a restart of %s stage %s is %s behind", name, stage.GetStage(), lag)
					}
				}
				return readingsIn(s, "gold") > before
			})
		}
	}
	if err := producer.stop(); err != nil {
		t.Errorf("the producer was told %v", err)
	}
	s := f.await(t, "gold to catch up", caughtUp)
	if in := readingsIn(s, "gold"); s.GetMissing() != 0 || in < producer.sent.Load() {
		t.Errorf("of %d readings gold took in %d, and %d are missing", producer.sent.Load(), in, s.GetMissing())
	}
	f.delivered(t, w, window, cancel)
}

// steady is a producer at a steady rate.
type steady struct {
	sent atomic.Uint64
	end  context.CancelFunc
	done chan error
}

// steadily publishes a reading every few milliseconds, each acknowledged.
func (p *platform) steadily(ctx context.Context, t *testing.T) *steady {
	t.Helper()
	js := p.jetStream(t)
	ctx, end := context.WithCancel(ctx)
	s := &steady{end: end, done: make(chan error, 1)}
	start := time.Now().UTC().Truncate(time.Hour).Add(-24 * time.Hour)
	go func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				s.done <- nil
				return
			case <-ticker.C:
			}
			payload := fmt.Sprintf(`{"entity_id":"rolling-%d","metric":"active_energy_import","value":%d,"time":%q}`,
				i%20, i, start.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
			// A message that is on its way is waited for, though the producer ends.
			if _, err := js.Publish(context.WithoutCancel(ctx), "readings.rolling", []byte(payload)); err != nil {
				s.done <- err
				return
			}
			s.sent.Add(1)
		}
	}()
	return s
}

// stop ends the producer and returns what it was told, if that was an error.
func (s *steady) stop() error {
	s.end()
	return <-s.done
}

// serves waits until a service says that it can work.
func (f *fleet) serves(t *testing.T, name string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		is, err := health.Ask(t.Context(), f.health[name])
		if err == nil && is.State != health.Down {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not serve: %+v, %v", name, is, err)
		}
	}
}
