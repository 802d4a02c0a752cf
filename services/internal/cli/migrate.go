package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/settings"
)

// target is what `energy migrate` works on.
type target struct {
	settings.Broker
	settings.Postgres
}

func migrateCommand(environment map[string]string) *cobra.Command {
	topology := broker.DefaultTopology()
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Make or update the streams and the database schema",
		Long: `migrate makes the streams and buckets of the broker (ENERGY_NATS_URL), with the
built-in catalogue as the first epoch where there is none, and applies the
migrations that the database (DATABASE_URL) lacks. Services do neither:
they wait until it is done. Running it again changes nothing but what its flags
ask for. A broker that is not there yet is waited for, as it says.

The number of partitions is fixed when the streams are made.`,
		Example: "  DATABASE_URL=postgres://energy@db/energy ENERGY_NATS_URL=nats://broker:4222 energy migrate",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := config.Load[target](environment)
			if err != nil {
				return usageError{err}
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return migrate(ctx, c.OutOrStdout(), s, func(standing broker.Topology, _ bool) broker.Topology {
				return keepUnasked(c.Flags(), standing, topology)
			})
		},
	}
	flags := c.Flags()
	flags.DurationVar(&timeout, "timeout", 2*time.Minute, "how long to try to reach the servers and to finish")
	flags.IntVar(&topology.Partitions, "partitions", topology.Partitions, "number of partitions")
	flags.IntVar(&topology.IngressShards, "ingress-shards", topology.IngressShards, "number of ingress streams")
	flags.IntVar(&topology.Replicas, "replicas", topology.Replicas, "replicas of each stream; 1, 3 or 5")
	flags.DurationVar(&topology.LeaseTTL, "lease-ttl", topology.LeaseTTL,
		"how soon a partition of an instance that died is taken over")
	limits := &topology.Limits
	flags.Int64Var(&limits.Readings, "readings-bytes", limits.Readings,
		"limit of READINGS in bytes; producers are refused beyond it")
	flags.Int64Var(&limits.Bronze, "bronze-bytes", limits.Bronze, "limit of BRONZE in bytes")
	flags.Int64Var(&limits.Silver, "silver-bytes", limits.Silver, "limit of SILVER in bytes")
	flags.Int64Var(&limits.Quarantine, "quarantine-bytes", limits.Quarantine, "limit of QUARANTINE in bytes")
	return c
}

// keepUnasked returns the topology that stands with what the flags ask for.
func keepUnasked(flags *pflag.FlagSet, standing, asked broker.Topology) broker.Topology {
	for name, take := range map[string]func(){
		"partitions":       func() { standing.Partitions = asked.Partitions },
		"ingress-shards":   func() { standing.IngressShards = asked.IngressShards },
		"replicas":         func() { standing.Replicas = asked.Replicas },
		"lease-ttl":        func() { standing.LeaseTTL = asked.LeaseTTL },
		"readings-bytes":   func() { standing.Limits.Readings = asked.Limits.Readings },
		"bronze-bytes":     func() { standing.Limits.Bronze = asked.Limits.Bronze },
		"silver-bytes":     func() { standing.Limits.Silver = asked.Limits.Silver },
		"quarantine-bytes": func() { standing.Limits.Quarantine = asked.Limits.Quarantine },
	} {
		if flags.Changed(name) {
			take()
		}
	}
	return standing
}

// topologyOf makes the wanted topology of the one that stands, or of the default
// when fresh says that none does.
type topologyOf func(standing broker.Topology, fresh bool) broker.Topology

// migrate makes streams and schema and says what it did.
func migrate(ctx context.Context, out io.Writer, s target, topology topologyOf) error {
	conn, err := awaitBroker(ctx, out, s.Broker)
	if err != nil {
		return fmt.Errorf("ENERGY_NATS_URL: %w; does a NATS server run there?", err)
	}
	defer conn.Close()
	js, err := broker.JetStream(conn)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, s.Postgres, "energy migrate")
	if err != nil {
		return err
	}
	store.Close()
	applied, err := goldstore.Migrate(ctx, s.DatabaseURL.Reveal())
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	for _, name := range applied {
		fmt.Fprintf(out, "applied %s\n", name)
	}
	var wanted broker.Topology
	waiting := func(err error) { fmt.Fprintf(out, "waiting%s until NATS has settled: %v\n", within(ctx), err) }
	if err := broker.Settle(ctx, waiting, func(ctx context.Context) error {
		wanted, err = provision(ctx, js, topology)
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(out, "schema is at version %d; streams stand with %d partitions, READINGS takes %s\n",
		goldstore.SchemaVersion(), wanted.Partitions, bytesOf(uint64(max(wanted.Limits.Readings, 0))))
	return nil
}

// provision makes the streams and buckets that are wanted, and the first epoch of the
// catalogue.
func provision(ctx context.Context, js jetstream.JetStream, topology topologyOf) (wanted broker.Topology, err error) {
	standing, err := broker.Open(ctx, js)
	fresh := errors.Is(err, broker.ErrNotProvisioned)
	if fresh {
		standing, err = broker.DefaultTopology(), nil
	}
	if err != nil {
		return wanted, err
	}
	wanted = topology(standing, fresh)
	if err := broker.Provision(ctx, js, wanted); err != nil {
		return wanted, err
	}
	return wanted, ensureCatalog(ctx, js)
}

// within says for how long a context lasts, if it ends by itself.
func within(ctx context.Context) string {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ""
	}
	return fmt.Sprintf(" for at most %s", time.Until(deadline).Round(time.Second))
}

// awaitBroker connects to the broker, which may start later than we do: where
// everything is started at once nobody orders it. It says that it waits, and why.
func awaitBroker(ctx context.Context, out io.Writer, s settings.Broker) (*nats.Conn, error) {
	const name = "energy migrate"
	conn, err := connectNow(ctx, s, name, nil)
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	fmt.Fprintf(out, "waiting%s, since NATS may start later (--timeout): %v\n", within(ctx), err)
	return broker.Connect(ctx, broker.ConnectConfig{URL: s.NATSURL, Name: name})
}

// ensureCatalog makes the built-in catalogue the first epoch where there is none.
func ensureCatalog(ctx context.Context, js jetstream.JetStream) error {
	c, err := catalog.Default()
	if err != nil {
		return err
	}
	store, err := broker.OpenEpochs(ctx, js)
	if err != nil {
		return err
	}
	return epochs.Ensure(ctx, store, []byte(c.Document()))
}
