package epochs_test

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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

// TestWhatIsKnownIsAsItIs: what becomes of an epoch that is not applied is asked for each
// time, and what became of all once, over one connection.
func TestWhatIsKnownIsAsItIs(t *testing.T) {
	t.Parallel()
	nc := natstest.Connect(t, natstest.Server(t))
	js, err := broker.JetStream(nc)
	if err == nil {
		err = broker.Provision(t.Context(), js, broker.DefaultTopology())
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := broker.OpenEpochs(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const document = "units: {V: {dimension: voltage}}\nmetrics: {v: {kind: gauge, unit: V, max: 300}}\n"
	must(epochs.Ensure(t.Context(), store, []byte(document)))
	f, err := epochs.Follow(t.Context(), store, func(error) {}, slog.New(slog.DiscardHandler))
	must(err)
	var last *epochs.History
	known := func(what string, number uint64, before int64, kept bool) {
		t.Helper()
		h, err := f.Known(t.Context(), number)
		must(err)
		if got := h.HeardBefore("v"); got != before || h.Epochs.Len() < number || (h == last) != kept {
			t.Errorf("%s: readings that were received before %d are heard, want %d; kept: %v", what, got, before, h == last)
		}
		last = h
	}
	known("one epoch", 1, 0, false)
	known("asked again", 1, 0, true)
	must(store.Add(t.Context(), 2, []byte(strings.Replace(document, "300", "200", 1))))
	known("one to come that is not known yet", 1, 0, true)
	known("without markers", 2, math.MaxInt64, false)
	known("still without", 2, math.MaxInt64, false)
	const behind = 1_780_401_600_000_000_000
	must(store.SetMarks(t.Context(), 2, broker.Marks{Since: 1, Behind: time.Unix(0, behind)}, 0))
	known("with markers", 2, behind, false)
	must(store.SetApplied(t.Context(), 2))
	known("applied", 2, behind, false)
	known("asked again", 2, behind, true)
	connected := nc.StatusChanged(nats.CONNECTED)
	must(nc.ForceReconnect())
	<-connected
	known("over another connection", 2, behind, false)
	known("asked again", 2, behind, true)
}

// TestWhatIsAppliedIsKnown: who has not been told yet of an epoch that is applied takes it
// in before it says by which epochs readings are judged, with its markers (invariant 21).
func TestWhatIsAppliedIsKnown(t *testing.T) {
	t.Parallel()
	store := broughtUp(t)
	f, err := epochs.Follow(t.Context(), store, func(error) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const behind = 1_780_401_600_000_000_000
	err = store.Add(t.Context(), 2, []byte(strings.Replace(limited, "300", "200", 1)))
	if err == nil {
		err = store.SetMarks(t.Context(), 2, broker.Marks{Since: 1, Behind: time.Unix(0, behind)}, 0)
	}
	if err == nil {
		err = store.SetApplied(t.Context(), 2)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []uint64{0, 2} {
		h, err := f.Known(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		if h.Epochs.Len() != 2 || h.HeardBefore("v") != behind {
			t.Errorf("of %d epochs readings are heard that were received before %d", h.Epochs.Len(), h.HeardBefore("v"))
		}
	}
}

// TestAnEpochThatIsNotUnderstood: a build that does not understand the newest epoch works
// under the one before, and what it says of that is not taken back by what goes well.
func TestAnEpochThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	store := broughtUp(t)
	var said error
	f, err := epochs.Follow(t.Context(), store, func(err error) { said = err }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Renew(t.Context()); err != nil || said != nil {
		t.Errorf("nothing is new: %v; %v", err, said)
	}
	if err = store.Add(t.Context(), 2, []byte("of a later build")); err == nil {
		err = store.SetApplied(t.Context(), 2)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Renew(t.Context()); err != nil {
		t.Error(err)
	}
	if h, err := f.Known(t.Context(), 0); err != nil || h.Epochs.Len() != 1 {
		t.Errorf("%d epochs are known: %v", h.Epochs.Len(), err)
	}
	if said == nil || !strings.Contains(said.Error(), "does not understand catalogue epoch 2") {
		t.Errorf("it says %v", said)
	}
}

// limited is a catalogue.
const limited = "units: {V: {dimension: voltage}}\nmetrics: {v: {kind: gauge, unit: V, max: 300}}\n"

// broughtUp returns the epochs of a platform that has one.
func broughtUp(t *testing.T) *broker.Epochs {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err == nil {
		err = broker.Provision(t.Context(), js, broker.DefaultTopology())
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := broker.OpenEpochs(t.Context(), js)
	if err == nil {
		err = epochs.Ensure(t.Context(), store, []byte(limited))
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}
