package epochs_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/services/internal/epochs"
)

// TestAMissingEpochIsReported waits for an epoch that the broker does not have:
// who waits says so at once, and that all is well when it came.
func TestAMissingEpochIsReported(t *testing.T) {
	t.Parallel()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(t.Context(), js, broker.DefaultTopology()); err != nil {
		t.Fatal(err)
	}
	store, err := broker.OpenEpochs(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	const document = "units: {V: {dimension: voltage}}\nmetrics: {v: {kind: gauge, unit: V}}\n"
	if err := epochs.Ensure(t.Context(), store, []byte(document)); err != nil {
		t.Fatal(err)
	}
	reports := make(chan error, 16)
	f, err := epochs.Follow(t.Context(), store, func(err error) { reports <- err }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan *catalog.Catalog, 1)
	go func() {
		c, err := f.Await(t.Context(), 3)
		if err != nil {
			t.Error(err)
		}
		came <- c
	}()
	report := <-reports
	if report == nil {
		t.Fatal("waiting for what is missing is reported as well")
	}
	for _, part := range []string{"epoch 2", "epoch 3", "gold.epochs", "energy catalog apply"} {
		if !strings.Contains(report.Error(), part) {
			t.Errorf("the report does not say %q: %v", part, report)
		}
	}
	for number := uint64(2); number <= 3; number++ {
		if err := store.Add(t.Context(), number, []byte(document+strings.Repeat("#\n", int(number)))); err != nil {
			t.Fatal(err)
		}
	}
	if c := <-came; c.Epoch() != 3 {
		t.Errorf("epoch %d came", c.Epoch())
	}
	last := report
	for len(reports) > 0 {
		last = <-reports
	}
	if last != nil {
		t.Errorf("the last report is %v", last)
	}
}
