package aggregator

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
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// testDeps is the deps of a test and its database.
type testDeps struct {
	Deps
	url string
}

// deps returns a broker with streams and a store with a schema.
func deps(t *testing.T) testDeps {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(t.Context(), js, broker.DefaultTopology()); err != nil {
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
	return testDeps{Deps{JetStream: js, Store: store, Logger: slog.New(slog.DiscardHandler)}, url}
}

// TestPositionsRecogniseALostTail moves a position to a message, after which the
// stream lost its tail and grew again beyond it: going on would skip what took
// the lost messages' sequences (invariant 1).
func TestPositionsRecogniseALostTail(t *testing.T) {
	t.Parallel()
	d := deps(t)
	for range 9 {
		if _, err := d.JetStream.Publish(t.Context(), broker.SilverSubject(0), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := broker.Stream(t.Context(), d.JetStream, broker.StreamSilver)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := d.JetStream.Stream(t.Context(), broker.StreamSilver)
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := stored.GetMsg(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		partition uint32
		received  time.Time
		after     uint64
	}{
		{"the very message is there: go on", 0, fourth.Time, 4},
		{"another message has its sequence: begin anew", 1, fourth.Time.Add(-time.Minute), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := d.Store.LoadPosition(t.Context(), Stage, tt.partition)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Store.ResetPosition(t.Context(), p, broker.StreamSilver, stream.Created, 0); err != nil {
				t.Fatal(err)
			}
			err = d.Store.ProjectQuarantine(t.Context(), goldstore.PositionMove{
				Stage: Stage, Partition: tt.partition, Stream: broker.StreamSilver, Created: stream.Created,
				To: 4, Received: tt.received,
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			from := source{broker.StreamSilver, broker.SilverSubject(0), Stage, tt.partition}
			reader, position, err := open(t.Context(), d.Deps, from, d.Logger)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			m, err := reader.Next(t.Context())
			if err != nil || position.Sequence != tt.after || m.Sequence != tt.after+1 {
				t.Errorf("goes on after %d with message %d: %v", position.Sequence, m.Sequence, err)
			}
		})
	}
}
