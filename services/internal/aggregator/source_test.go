package aggregator

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
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
	return testDeps{Deps{JetStream: js, Store: store, Logger: slog.New(slog.DiscardHandler), Slabs: new(gold.Slabs)}, url}
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
			}, nil, nil)
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

// TestPositionsRecogniseALostQuarantine moves a position over a reading that is
// refused, of which the broker then loses the refusal: it comes again (invariant 4).
func TestPositionsRecogniseALostQuarantine(t *testing.T) {
	t.Parallel()
	d := deps(t)
	d.Report = func(string, error) {}
	a, f := flusher(t, d.Deps)
	silver, err := d.JetStream.Publish(t.Context(), broker.SilverSubject(0), []byte("not to be decoded"))
	if err != nil {
		t.Fatal(err)
	}
	from := source{broker.StreamSilver, broker.SilverSubject(0), Stage, 0}
	begin := func() *broker.Reader {
		t.Helper()
		reader, position, err := open(t.Context(), d.Deps, from, d.Logger)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(reader.Close)
		a.position = position
		return reader
	}
	begin()
	a.refused.Add(reading.Undecodable, 0, wire.Refusal{Detail: "it is not"})
	if err := a.quarantine(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Groups, f.Move.Created, f.Move.To = nil, a.position.Created, silver.Sequence
	f.Move.Refused = a.position.Refused
	if _, err := a.flush(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	begin()
	if a.position.Sequence != silver.Sequence || a.position.Refused.Sequence != 1 {
		t.Fatalf("position %+v", a.position)
	}
	if err := d.JetStream.DeleteStream(t.Context(), broker.StreamQuarantine); err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(t.Context(), d.JetStream, broker.DefaultTopology()); err != nil {
		t.Fatal(err)
	}

	// A worker that is at work sees it once its reader opens again.
	if a.reader, err = broker.OpenReader(t.Context(), d.JetStream, broker.ReaderConfig{Stream: from.stream}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.reader.Close)
	if err := a.recheck(t.Context()); err == nil || !strings.Contains(err.Error(), "QUARANTINE was recreated") {
		t.Errorf("at work: %v", err)
	}
	m, err := begin().Next(t.Context())
	if err != nil || a.position.Sequence != 0 || m.Sequence != silver.Sequence {
		t.Errorf("goes on after %d with message %d: %v", a.position.Sequence, m.Sequence, err)
	}
}
