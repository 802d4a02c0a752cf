package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
)

func TestProvision(t *testing.T) {
	t.Parallel()

	t.Run("MakesWhatOpenReads", func(t *testing.T) {
		t.Parallel()
		js := connect(t, natstest.Server(t).URL())
		want := broker.DefaultTopology()
		want.IngressShards = 2
		if err := broker.Provision(testContext(t), js, want); err != nil {
			t.Fatal(err)
		}
		got, err := broker.Open(testContext(t), js)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("topology (-want +got):\n%s", diff)
		}
	})

	t.Run("KeepsTheServerFromWhatWouldLose", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		for _, name := range []string{"READINGS", "BRONZE", "SILVER", "QUARANTINE"} {
			s, err := js.Stream(testContext(t), name)
			if err != nil {
				t.Fatal(err)
			}
			c := s.CachedInfo().Config
			if c.Discard != jetstream.DiscardNew || c.MaxAge != 0 || c.AllowRollup || !c.DenyDelete || !c.AllowDirect ||
				c.Duplicates != 100*time.Millisecond || c.Storage != jetstream.FileStorage || c.MaxBytes <= 0 {
				t.Errorf("%s is %+v", name, c)
			}
		}
	})

	t.Run("ManyAtOnceAgree", func(t *testing.T) {
		t.Parallel()
		s := natstest.Server(t)
		var group errgroup.Group
		for range 4 {
			js := connect(t, s.URL())
			group.Go(func() error { return broker.Provision(testContext(t), js, smallTopology()) })
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})

	t.Run("OfTwoNumbersOfPartitionsOneIsRefusedAndTheOtherComplete", func(t *testing.T) {
		t.Parallel()
		s := natstest.Server(t)
		var group errgroup.Group
		errs := make([]error, 2)
		for i := range errs {
			js := connect(t, s.URL())
			top := smallTopology()
			top.Partitions = 4 + i
			group.Go(func() error {
				errs[i] = broker.Provision(testContext(t), js, top)
				return nil
			})
		}
		_ = group.Wait()
		lost := 0
		for _, err := range errs {
			if errors.Is(err, broker.ErrPartitionMismatch) {
				lost++
			} else if err != nil {
				t.Error(err)
			}
		}
		if lost != 1 {
			t.Errorf("%d of 2 were refused: %v", lost, errs)
		}
		if _, err := broker.Open(testContext(t), connect(t, s.URL())); err != nil {
			t.Error(err)
		}
	})

	t.Run("RefusesAnotherNumberOfPartitionsAndNamesBoth", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		other := smallTopology()
		other.Partitions = 7
		err := broker.Provision(testContext(t), js, other)
		if !errors.Is(err, broker.ErrPartitionMismatch) || !strings.Contains(err.Error(), "4") ||
			!strings.Contains(err.Error(), "7") {
			t.Errorf("got %v", err)
		}
		if err := broker.Check(testContext(t), js, 7); !errors.Is(err, broker.ErrPartitionMismatch) {
			t.Errorf("check: got %v", err)
		}
		if err := broker.Check(testContext(t), js, 4); err != nil {
			t.Errorf("check: got %v", err)
		}
	})

	t.Run("ChangesLimitsAndAddsShards", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		want := smallTopology()
		want.Limits.Silver *= 2
		want.IngressShards = 3
		want.LeaseTTL = time.Second
		if err := broker.Provision(testContext(t), js, want); err != nil {
			t.Fatal(err)
		}
		got, err := broker.Open(testContext(t), js)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("topology (-want +got):\n%s", diff)
		}
	})

	t.Run("RefusesAStreamOfSomebodyElse", func(t *testing.T) {
		t.Parallel()
		js := connect(t, natstest.Server(t).URL())
		if _, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "SILVER"}); err != nil {
			t.Fatal(err)
		}
		err := broker.Provision(testContext(t), js, smallTopology())
		if !errors.Is(err, broker.ErrFormat) {
			t.Errorf("got %v", err)
		}
		if _, err := js.Stream(testContext(t), "READINGS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("READINGS was made before the check: %v", err)
		}
	})

	t.Run("ReportsAllFaultsAtOnce", func(t *testing.T) {
		t.Parallel()
		err := broker.Topology{}.Validate()
		for _, want := range []string{"partitions", "shards", "replicas", "lease TTL"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %v", want, err)
			}
		}
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()

	t.Run("SaysWhatIsMissingAndWhatMendsIt", func(t *testing.T) {
		t.Parallel()
		js := connect(t, natstest.Server(t).URL())
		_, err := broker.Open(testContext(t), js)
		if !errors.Is(err, broker.ErrNotProvisioned) || !strings.Contains(err.Error(), "energy migrate") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("NoticesAMissingBucket", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		if err := js.DeleteKeyValue(testContext(t), broker.BucketLeases); err != nil {
			t.Fatal(err)
		}
		_, err := broker.Open(testContext(t), js)
		if !errors.Is(err, broker.ErrNotProvisioned) || !strings.Contains(err.Error(), broker.BucketLeases) {
			t.Errorf("got %v", err)
		}
	})
}

func TestIngressStream(t *testing.T) {
	t.Parallel()
	for n, name := range []string{"READINGS", "READINGS_1", "READINGS_2"} {
		if got := broker.IngressStream(n); got != name {
			t.Errorf("stream %d is %s", n, got)
		}
		if got, ok := broker.IngressNumber(name); !ok || got != n {
			t.Errorf("number of %s is %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "BRONZE", "READINGS_", "READINGS_0", "READINGS_01", "READINGS_-1", "READINGS_x"} {
		if n, ok := broker.IngressNumber(name); ok {
			t.Errorf("number of %q is %d", name, n)
		}
	}
}
