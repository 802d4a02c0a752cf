package chaos

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

// Stored is what a run leaves: a broker with a copy of READINGS and of the catalogue,
// all other streams empty, and a database with the schema and nothing in it.
type Stored struct {
	NATSURL, DatabaseURL string
	Binaries             string // folder of the programs
	Dir                  string // for logs

	deployment *deployment
}

// Reference fills the database with the gold of the stored readings, all of them.
type Reference func(context.Context, Stored) error

// Batch has a batch run take the stored readings in (see energy run-batch).
func Batch(ctx context.Context, s Stored) error {
	// No stage reads along there, for which a run would wait.
	return s.deployment.tool(ctx, "run-batch", "--max-lag", "0s")
}

// Replay has a set of services that nothing happens to read the stored readings.
func Replay(ctx context.Context, s Stored) (err error) {
	alone, err := s.deployment.newSet("alone", append(append([]string{}, stages...), "query"))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, alone.close(context.WithoutCancel(ctx), s.deployment.postgres))
	}()
	if err := alone.start(); err != nil {
		return err
	}
	if err := caughtUp(ctx, alone, true); err != nil {
		return err
	}
	return alone.stop(ctx)
}

// onlyReadings removes all streams that are made from READINGS.
func (s *server) onlyReadings(ctx context.Context) error {
	conn, js, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, stream := range []string{
		broker.StreamBronze, broker.StreamSilver, broker.StreamGold, broker.StreamQuarantine,
		"KV_" + broker.BucketPositions, "KV_" + broker.BucketLeases,
	} {
		if err := js.DeleteStream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("remove %s: %w", stream, err)
		}
	}
	return nil
}
