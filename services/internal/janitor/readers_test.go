package janitor

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/services/internal/stage"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// kept is how many messages of BRONZE there are at first. The stages have read all.
const kept = 10

// atWork returns a janitor on servers of its own that keeps nothing of what was read.
func atWork(t *testing.T) *janitor {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	topology := broker.DefaultTopology()
	topology.Partitions = 1
	if err := broker.Provision(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t, "gold", func(ctx context.Context, url string) error {
		_, err := goldstore.Migrate(ctx, url)
		return err
	})
	store, err := goldstore.Open(t.Context(), url, goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	j := &janitor{alarmed: make(map[string]bool), Deps: Deps{
		JetStream: js, Store: store, Topology: topology, Logger: slog.New(slog.DiscardHandler),
		Report: func(string, error) {}, Note: func(string, string) {}, Forget: func(string) {},
	}}
	if j.Positions, err = broker.OpenPositions(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if j.Epochs, err = broker.OpenEpochs(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	for range kept {
		if _, err := js.Publish(t.Context(), broker.BronzeSubject(0), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	j.put(t, stage.PositionKey("silver", 0), j.behind(t, broker.StreamBronze, kept))
	return j
}

// behind is the position of a reader of a stream as it is.
func (j *janitor) behind(t *testing.T, stream string, sequence uint64) broker.Position {
	t.Helper()
	s, err := broker.Stream(t.Context(), j.JetStream, stream)
	if err != nil {
		t.Fatal(err)
	}
	return broker.Position{Stream: stream, Created: s.Created, Sequence: sequence}
}

func (j *janitor) put(t *testing.T, key string, at broker.Position) {
	t.Helper()
	if _, err := j.Positions.Store(t.Context(), key, at, 0); err != nil {
		t.Fatal(err)
	}
}

// first sweeps and returns where BRONZE begins then.
func (j *janitor) first(t *testing.T) uint64 {
	t.Helper()
	if err := j.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := broker.Stream(t.Context(), j.JetStream, broker.StreamBronze)
	if err != nil {
		t.Fatal(err)
	}
	return s.FirstSequence
}

// TestWhatIsReadIsKept has readers besides the stages, of all sorts (invariant 19).
func TestWhatIsReadIsKept(t *testing.T) {
	t.Parallel()
	anew := func(at broker.Position) broker.Position { at.Created = time.Unix(1, 0); return at }
	until := func(at broker.Position, expires time.Time) broker.Position { at.Expires = expires; return at }
	for name, tt := range map[string]struct {
		key   string
		at    func(bronze broker.Position) broker.Position
		first uint64
	}{
		"a later build's reader":       {"later.0", func(at broker.Position) broker.Position { return at }, 5},
		"one that has not begun":       {"later", func(broker.Position) broker.Position { return broker.Position{Stream: broker.StreamBronze} }, 1},
		"one of the stream as it was":  {"later", anew, 1},
		"one that nothing is known of": {"a/b=c", func(broker.Position) broker.Position { return broker.Position{} }, 1},
		"one of another stream": {"later", func(broker.Position) broker.Position {
			return broker.Position{Stream: broker.StreamGold}
		}, kept},
		"one that has read all":      {"later", func(at broker.Position) broker.Position { at.Sequence = kept; return at }, kept},
		"a batch run that lives":     {"hold-batch.1.BRONZE", func(at broker.Position) broker.Position { return until(at, time.Now().Add(time.Hour)) }, 5},
		"a batch run that has died":  {"hold-batch.1.BRONZE", func(at broker.Position) broker.Position { return until(at, time.Now().Add(-time.Hour)) }, kept},
		"what has been judged again": {"rejudge-2.0", func(at broker.Position) broker.Position { return at }, kept},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := atWork(t)
			j.put(t, tt.key, tt.at(j.behind(t, broker.StreamBronze, 4)))
			if first := j.first(t); first != tt.first {
				t.Errorf("BRONZE begins at %d, not %d", first, tt.first)
			}
		})
	}
}

// TestWhatIsHeldIsKept has a reader that is no stage read meanwhile (invariant 19).
func TestWhatIsHeldIsKept(t *testing.T) {
	t.Parallel()
	j := atWork(t)
	hold := broker.Hold{Reader: "batch.20260101T000000Z-abcdef", Behind: []broker.Position{
		j.behind(t, broker.StreamBronze, 6), j.behind(t, broker.StreamBronze, 3), j.behind(t, broker.StreamSilver, 0),
	}}
	err := j.Positions.Holding(t.Context(), hold, func(context.Context) error {
		if first := j.first(t); first != 4 {
			t.Errorf("while it is held BRONZE begins at %d", first)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if first := j.first(t); first != kept {
		t.Errorf("BRONZE begins at %d when nothing is held any more", first)
	}
}
