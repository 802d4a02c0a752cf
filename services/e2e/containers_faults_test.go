package e2e_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Parts of the household file that a fault is survived with: rows of seven readings,
// in messages of so many.
const (
	partRows, partSeries = 2500, 7
	partBatch            = 50
)

// publishing publishes a file, again when the broker dies on the way: what is there
// already changes nothing. The channel is closed when all is acknowledged.
func (s *stack) publishing(t *testing.T, file string) <-chan struct{} {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.until(t, file+" to be acknowledged", func(ctx context.Context) error {
			return s.publish(ctx, []string{file}, partBatch)
		})
	}()
	return done
}

// holds waits until gold has caught up, and compares it with that of a platform to
// which nothing happened.
func (s *stack) holds(t *testing.T, files []string) {
	t.Helper()
	at := s.await(t, "gold to catch up", caughtUp)
	if n := at.GetMissing(); n != 0 {
		t.Errorf("%d readings are missing", n)
	}
	whole := embedded(t)
	if err := whole.publish(t.Context(), files, 500); err != nil {
		t.Fatal(err)
	}
	whole.await(t, "gold to catch up", caughtUp)
	sameRows(t, "values", whole.rows(t, "gold.values"), s.rows(t, "gold.values"))
}

// TestKilledContainersEndInTheSameRows kills each container once while readings come
// in, then cuts gold-aggregator off its database, and compares the end with a platform
// in one process that nothing happened to.
func TestKilledContainersEndInTheSameRows(t *testing.T) {
	t.Parallel()
	s := servers(t, "single", "nats")
	s.services(t)
	victims := []struct{ container, stage string }{
		{"ingest", "ingest"}, {"silver-cleaner", "silver"}, {"gold-aggregator", "gold"}, {"query", "gold"},
		{"postgres", "gold"}, {"nats", "ingest"},
	}
	files := parts(t, partRows, len(victims)+1)
	for i, victim := range victims {
		before := readingsIn(s.status(t), victim.stage)
		done := s.publishing(t, files[i])
		s.await(t, victim.stage+" to be at work", func(at *energyv1.GetPipelineStatusResponse) bool {
			return readingsIn(at, victim.stage) > before
		})
		s.kill(t, victim.container)
		s.start(t, victim.container)
		<-done
		s.await(t, "gold to catch up after "+victim.container+" was killed", caughtUp)
	}
	s.well(t, serviceNames...)
	s.cutOffTheStore(t, files[len(victims)])
	s.holds(t, files)
	s.well(t, serviceNames...)
}

// cutOffTheStore publishes while gold-aggregator cannot reach Postgres: it says so, the
// producer is not held up, and gold catches up once the network is whole.
func (s *stack) cutOffTheStore(t *testing.T, file string) {
	t.Helper()
	before := s.status(t)
	mend := s.cut(t, "gold-aggregator", s.store)
	<-s.publishing(t, file)
	at := s.await(t, "silver to go on", func(at *energyv1.GetPipelineStatusResponse) bool {
		return readingsIn(at, "silver") >= readingsIn(before, "silver")+partRows*partSeries
	})
	if n, had := readingsIn(at, "gold"), readingsIn(before, "gold"); n != had {
		t.Errorf("gold took in %d readings without its store, %d before", n, had)
	}
	s.until(t, "gold-aggregator to say that it is cut off", func(ctx context.Context) error {
		_, out, err := s.execute(ctx, "gold-aggregator", "/service", "health")
		if err == nil && !strings.Contains(out, "postgres is down") {
			err = errors.New(out)
		}
		return err
	})
	mend()
}

// TestOneOfThreeBrokersIsLost kills a NATS server of a cluster while readings come in,
// the one that producers talk to first, and publishes on with the other two.
func TestOneOfThreeBrokersIsLost(t *testing.T) {
	t.Parallel()
	s := servers(t, "cluster", "nats", "nats-2", "nats-3")
	s.services(t, "--replicas", "3")
	files := parts(t, partRows, 3)
	before := readingsIn(s.status(t), "ingest")
	done := s.publishing(t, files[0])
	s.await(t, "ingest to be at work", func(at *energyv1.GetPipelineStatusResponse) bool {
		return readingsIn(at, "ingest") > before
	})
	s.kill(t, "nats")
	<-done
	<-s.publishing(t, files[1])
	s.await(t, "gold to catch up with two brokers", caughtUp)
	s.start(t, "nats")
	<-s.publishing(t, files[2])
	s.holds(t, files)
	s.well(t, serviceNames...)
}
