//go:build !noservers

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/dirlock"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localpg"
	"github.com/energy-platform/energy/pkg/telemetry"
	"github.com/energy-platform/energy/services/internal/app"
	"github.com/energy-platform/energy/services/internal/origin"
	"github.com/energy-platform/energy/services/internal/settings"
	"github.com/energy-platform/energy/services/internal/source"
)

// upPartitions is the number of partitions of a platform on one machine.
const upPartitions = 4

// stopTimeout bounds how long the private servers may take to stop.
const stopTimeout = 30 * time.Second

// upFlags is what `energy up` was called with.
type upFlags struct {
	data       string
	natsListen string
	mqttListen string
	load       []string
	mapping    string
	durable    bool
}

func upCommand(environment map[string]string) *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the whole platform in one process",
		Long: `up runs everything in one process: a NATS server with its streams on disk, the
four services, and Postgres: the one at DATABASE_URL when that is set, else a
private cluster from this machine's own binaries. ENERGY_NATS_URL is not read.

Data is kept in the folder --data; starting again goes on where it stopped.
Everything listens on loopback and is open to all users of this machine: this is
the development profile. Ctrl-C drains and stops.`,
		Example: `  energy up

  # publish a file as a producer would, wait until gold has it, print daily energy
  energy up --load docs/data/household_power_consumption.txt.gz --mapping docs/data/household.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			u := &up{upFlags: f, environment: maps.Clone(environment), out: c.OutOrStdout(), errOut: c.ErrOrStderr()}
			return u.run(c.Context())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.data, "data", defaultData, "folder of all data")
	flags.StringVar(&f.natsListen, "nats-listen", "127.0.0.1:4222", "address of the NATS server; port 0 picks a free one")
	flags.StringVar(&f.mqttListen, "mqtt-listen", "", "address to take in MQTT on, such as 127.0.0.1:1883 (default none)")
	flags.StringSliceVar(&f.load, "load", nil, "files to publish once the platform runs")
	flags.BoolVar(&f.durable, "durable", false,
		"sync each message to the disk before it is acknowledged: slower, and loses nothing when the machine dies")
	flags.StringVar(&f.mapping, "mapping", "", "mapping of the files of --load")
	return c
}

// up is one run of `energy up`.
type up struct {
	upFlags
	environment map[string]string
	out, errOut io.Writer
	settings    settings.All
	source      source.Mapping // of --mapping
	sql         string         // how to reach the database
	log         *slog.Logger
}

func (u *up) run(ctx context.Context) (err error) {
	// First, since who holds the folder holds the ports too.
	if err := os.MkdirAll(u.data, 0o755); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	lock, err := dirlock.Acquire(u.data)
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if u.environment["ENERGY_LOG_LEVEL"] == "" {
		u.environment["ENERGY_LOG_LEVEL"] = slog.LevelWarn.String()
	}
	level, err := u.check(ctx)
	if err != nil {
		return usageError{err}
	}
	u.log = app.Logger(u.errOut, level).With("service", "energy")
	telemetry.LogErrors(u.log)

	postgres, err := u.startPostgres(ctx)
	if err != nil {
		return err
	}
	if postgres != nil {
		defer func() {
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			err = errors.Join(err, postgres.Stop(limit))
		}()
	}
	nats, err := u.startNATS(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nats.Stop()) }()

	if u.settings, err = config.Load[settings.All](u.environment); err != nil {
		return usageError{err}
	}
	at := target{Broker: u.settings.Broker, Postgres: u.settings.Postgres}
	if err := migrate(ctx, io.Discard, at, upTopology); err != nil {
		return err
	}
	err = lifecycle.All(ctx,
		func(ctx context.Context) error { return watch(ctx, postgres) },
		func(ctx context.Context) error {
			return app.RunAll(ctx, u.settings, u.log, app.Extras{Ready: u.ready, Syncs: &broker.Durability{
				Known: true, SyncAlways: u.durable, SyncInterval: localnats.DefaultSyncInterval,
			}})
		},
	)
	if ctx.Err() != nil {
		fmt.Fprintln(u.out, "drained and stopped; start again to go on")
	}
	return err
}

// check finds before anything is started what would fail in the end. It returns
// the least level that is logged.
func (u *up) check(ctx context.Context) (slog.Level, error) {
	early := maps.Clone(u.environment)
	if early["DATABASE_URL"] == "" {
		early["DATABASE_URL"] = "postgres://later" // the private cluster's
	}
	early["ENERGY_INSECURE"] = "true" // what may be listened to is said below, for all addresses
	s, err := config.Load[settings.All](early)
	faults := []error{err}
	for _, address := range []struct{ name, value string }{
		{"--nats-listen", u.natsListen}, {"--mqtt-listen", u.mqttListen},
		{"ENERGY_HTTP_LISTEN", s.HTTPListen}, {"ENERGY_GRPC_LISTEN", s.GRPCListen},
	} {
		if _, _, err := net.SplitHostPort(address.value); err != nil { // said elsewhere, or there is none
			continue
		}
		if !origin.IsLoopback(address.value) {
			faults = append(faults, fmt.Errorf("%s %s: energy up has no authentication and listens on loopback only: "+
				"give 127.0.0.1; services on their own serve others with ENERGY_INSECURE=true", address.name, address.value))
			continue
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address.value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w: stop what listens there, or give another address",
				address.name, err))
			continue
		}
		faults = append(faults, listener.Close())
	}
	if u.mapping != "" {
		if u.source, err = source.LoadMapping(u.mapping); err != nil {
			faults = append(faults, fmt.Errorf("--mapping: %w", err))
		}
	}
	for _, file := range u.load {
		if _, err := os.Stat(file); err != nil {
			faults = append(faults, fmt.Errorf("--load: %w", err))
		}
	}
	return s.LogLevel, errors.Join(faults...)
}

// startPostgres starts the private cluster, nil when DATABASE_URL names one.
func (u *up) startPostgres(ctx context.Context) (*localpg.Server, error) {
	if u.environment["DATABASE_URL"] != "" {
		u.sql = "the database at DATABASE_URL"
		return nil, nil
	}
	server, err := localpg.Start(ctx, localpg.Options{
		Dir: postgresFolder(u.data), Durable: true, Logger: u.log,
	})
	if err != nil {
		return nil, err
	}
	if err := server.EnsureDatabase(ctx, upDatabase); err != nil {
		return nil, errors.Join(err, server.Stop(ctx))
	}
	u.environment["DATABASE_URL"] = server.URL(upDatabase)
	u.sql = "energy psql" + u.dataFlag() + "; energy sql-url" + u.dataFlag() + " prints the address for other clients"
	return server, nil
}

// dataFlag names the folder to another command, where it has to be named.
func (u *up) dataFlag() string {
	if u.data == defaultData {
		return ""
	}
	return " --data " + u.data
}

func (u *up) startNATS(ctx context.Context) (*localnats.Server, error) {
	host, portText, err := net.SplitHostPort(u.natsListen)
	if err != nil {
		return nil, usageError{fmt.Errorf("--nats-listen: %w: give host:port", err)}
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, usageError{fmt.Errorf("--nats-listen: port %q is no number", portText)}
	}
	server, err := localnats.Start(ctx, localnats.Options{
		Dir: filepath.Join(u.data, "nats"), Name: "energy", Host: host, Port: port, MQTT: u.mqttListen, Logger: u.log,
		SyncAlways: u.durable,
	})
	if err != nil {
		return nil, err
	}
	u.environment["ENERGY_NATS_URL"] = server.URL()
	u.mqttListen = server.MQTT()
	if err := os.WriteFile(natsFile(u.data), []byte(server.URL()), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("--data: %w", err), server.Stop())
	}
	return server, nil
}

// upTopology is what stands, or the default with fewer partitions.
func upTopology(standing broker.Topology, fresh bool) broker.Topology {
	if fresh {
		standing.Partitions = upPartitions
	}
	return standing
}

// watch ends the platform when its private Postgres crashes.
func watch(ctx context.Context, postgres *localpg.Server) error {
	if postgres == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-postgres.Exited():
		return postgres.Err()
	}
}

// ready tells how to reach the platform and loads the files that were asked for.
func (u *up) ready(ctx context.Context, p *app.Platform) error {
	mqtt := ""
	if u.mqttListen != "" {
		mqtt = fmt.Sprintf("  MQTT     mqtt://%s   publish readings on readings/<anything>\n", u.mqttListen)
	}
	fmt.Fprintf(u.out, `the energy platform is up
  NATS     %s   publish readings on readings.<anything>
%s  gRPC     %s   energy.v1.QueryService
  page     http://%s/   series, plots and the state of the pipeline, live
  REST     http://%s/v1/   described by /openapi.json; /health beside it
  SQL      %s
  data     %s
  profile  development: loopback only, no authentication
  loss     %s
`, u.settings.NATSURL, mqtt, u.settings.GRPCListen, u.settings.HTTPListen, u.settings.HTTPListen,
		u.sql, u.data, p.LossBound())
	if len(u.load) == 0 {
		fmt.Fprint(u.out, "\npublish with   energy publish FILE\nstop with      Ctrl-C\n")
		return nil
	}
	// What goes wrong with the files is no reason to stop serving.
	if err := u.loadFiles(ctx, p); err != nil && ctx.Err() == nil {
		fmt.Fprintf(u.errOut, "energy: --load: %v\n", err)
	}
	return nil
}
