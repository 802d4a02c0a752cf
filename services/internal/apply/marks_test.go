package apply

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/epochs"
)

// opened returns an application on a broker of its own, and what publishes a message
// into each partition of BRONZE.
func opened(t *testing.T) (a *application, publish func(data []byte)) {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	topology := broker.DefaultTopology()
	if err := broker.Provision(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	kept, err := broker.OpenEpochs(t.Context(), js)
	if err == nil {
		err = epochs.Ensure(t.Context(), kept, []byte("units: {V: {dimension: voltage}}\nmetrics: {v: {kind: gauge, unit: V}}"))
	}
	if err == nil {
		a, err = open(t.Context(), Deps{JetStream: js, Logger: slog.New(slog.DiscardHandler)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return a, func(data []byte) {
		t.Helper()
		for p := range topology.Partitions {
			if _, err := js.Publish(t.Context(), broker.BronzeSubject(p), data); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What is judged again depends on where the markers are: they are the first ones, wherever
// a run was stopped before (invariant 17).
func TestMarksAreTheFirst(t *testing.T) {
	t.Parallel()
	traffic := []byte("not to be decoded")
	marker, err := wire.EpochMarker(2)
	if err != nil {
		t.Fatal(err)
	}
	marks := func(t *testing.T, a *application) []uint64 {
		t.Helper()
		marks, err := a.marks(t.Context(), 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		last, err := broker.Get(t.Context(), a.JetStream, broker.StreamBronze, slices.Max(marks.Sequences))
		if err != nil {
			t.Fatal(err)
		}
		if !marks.Behind.Equal(last.Received) || marks.Since != 1 {
			t.Errorf("the marks end at %s, since epoch %d; the last marker is of %s",
				marks.Behind, marks.Since, last.Received)
		}
		return marks.Sequences
	}
	// in returns the sequences of the nth message of each partition.
	in := func(a *application, nth int) (want []uint64) {
		n := a.topology.Partitions
		for p := range n {
			want = append(want, uint64((nth-1)*n+p+1))
		}
		return want
	}
	same := func(t *testing.T, want, got []uint64) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	t.Run("OfARunThatIsDoneAgain", func(t *testing.T) {
		t.Parallel()
		a, publish := opened(t)
		publish(traffic)
		same(t, in(a, 2), marks(t, a))
		publish(traffic)
		same(t, in(a, 2), marks(t, a))
	})
	t.Run("OfARunThatCouldNotKeepThem", func(t *testing.T) {
		t.Parallel()
		a, publish := opened(t)
		publish(traffic)
		bronze, err := broker.Stream(t.Context(), a.JetStream, broker.StreamBronze)
		if err != nil {
			t.Fatal(err)
		}
		begun := broker.Marks{Created: bronze.Created, After: bronze.LastSequence, Since: 1}
		if err := a.store.SetMarks(t.Context(), 2, begun, 0); err != nil {
			t.Fatal(err)
		}
		publish(traffic)
		publish(marker)
		publish(traffic)
		same(t, in(a, 3), marks(t, a))
		same(t, in(a, 3), marks(t, a))
	})
	t.Run("OfTheStreamThatIsThere", func(t *testing.T) {
		t.Parallel()
		a, publish := opened(t)
		publish(traffic)
		same(t, in(a, 2), marks(t, a))
		if err := a.JetStream.DeleteStream(t.Context(), broker.StreamBronze); err != nil {
			t.Fatal(err)
		}
		if err := broker.Provision(t.Context(), a.JetStream, a.topology); err != nil {
			t.Fatal(err)
		}
		same(t, in(a, 1), marks(t, a))
	})
}
