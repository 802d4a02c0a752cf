package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/metrics"
	"github.com/energy-platform/energy/pkg/telemetry"
	"github.com/energy-platform/energy/services/internal/query"
	"github.com/energy-platform/energy/services/internal/settings"
)

// Process is what a process was started with.
type Process struct {
	Args        []string // without the program's name
	Environment []string
	Out, Err    io.Writer
}

// served is settings of a service that answers over HTTP.
type served[T any] interface {
	*T
	Address() string
}

// Main runs a service with the settings that the environment gives until the
// process is told to stop, or answers what it is asked: help, or how the service
// is that runs with these settings. It returns the process's exit status.
func Main[T any, P served[T]](
	service string, p Process, run func(context.Context, T, *slog.Logger) error,
) int {
	asked := ""
	if len(p.Args) == 1 {
		asked = p.Args[0]
	}
	switch {
	case slices.Contains([]string{"--help", "-h", "-help", "help"}, asked):
		fmt.Fprint(p.Out, help[T](service))
		return 0
	case len(p.Args) > 0 && asked != "health":
		fmt.Fprintf(p.Err, "%s: takes no arguments but health, got %q: its settings are environment variables, "+
			"%s --help lists them\n", service, p.Args, service)
		return 2
	}
	s, err := config.Load[T](config.Environment(p.Environment))
	if err != nil {
		fmt.Fprintf(p.Err, "%s: %v\n", service, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if asked == "health" {
		return tellHealth(ctx, service, P(&s).Address(), p)
	}
	tune(p.Environment, &s)
	log := Logger(p.Err, level(&s)).With("service", service)
	telemetry.LogErrors(log)
	log.InfoContext(ctx, "service starts")
	if err := run(ctx, s, log); err != nil {
		log.ErrorContext(ctx, "service fails", "error", err)
		return 1
	}
	log.InfoContext(ctx, "service stopped")
	return 0
}

// help lists the settings of a service.
func help[T any](service string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s runs until it is told to stop (SIGINT or SIGTERM), and logs JSON lines to standard error.\n"+
		"%s health asks the one that runs with the same settings how it is, and ends with 1 unless it works.\n"+
		"Settings are environment variables:\n\n", service, service)
	for _, v := range config.Variables[T]() {
		fmt.Fprintf(&b, "  %-34s %s", v.Name, v.Doc)
		if v.Default != "" {
			fmt.Fprintf(&b, " (default %s)", v.Default)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// tellHealth prints how the service is that listens on an address, and returns the
// exit status: 0 when it works, whatever may trouble it, and 1 otherwise.
func tellHealth(ctx context.Context, service, address string, p Process) int {
	status, err := health.Ask(ctx, address)
	if err != nil {
		fmt.Fprintf(p.Err, "%s: %v\n", service, err)
		return 1
	}
	fmt.Fprintf(p.Out, "%s is %s\n", status.Service, status.State)
	for _, c := range status.Components {
		fmt.Fprintf(p.Out, "  %s is %s: %s\n", c.Name, c.State, cmp.Or(c.String(), "well"))
	}
	if status.State == health.Down {
		return 1
	}
	return 0
}

// Logger returns a JSON logger, whose lines tell of which trace they are.
func Logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(telemetry.Handler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})))
}

// level returns the log level of settings that have one.
func level(s any) slog.Level {
	if l, ok := s.(interface{ Level() slog.Level }); ok {
		return l.Level()
	}
	return slog.LevelInfo
}

// Addresses is where a process listens.
type Addresses struct{ HTTP, GRPC string }

// lastExport bounds how long a process that has stopped exports its last traces.
const lastExport = 2 * time.Second

// runService serves health, connects, and runs what build makes of the
// connections. Health is there from the start over HTTP, so that somebody who
// looks learns what is waited for, and over gRPC once everything stands.
func runService(
	ctx context.Context, needs Needs, listen Addresses, log *slog.Logger, build func(*Platform) []lifecycle.Run,
) (err error) {
	traces, err := telemetry.Open(ctx, needs.Common.Traces,
		telemetry.Process{Service: needs.Name, Instance: needs.Common.Instance}, log)
	if err != nil {
		return err
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastExport)
		defer cancel()
		err = errors.Join(err, traces.Close(limit))
	}()
	needs.Tracers = traces.Tracers()
	monitor := health.New(needs.Name, Runbook)
	monitor.Fail(setup, errStarting)
	if needs.Metrics, err = metrics.New(needs.Name, Version(), log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, needs.Metrics.Close(context.WithoutCancel(ctx))) }()
	if err := observe(needs.Metrics, monitor, traces); err != nil {
		return err
	}
	grace := needs.Common.Grace
	var queries *api
	mux := http.NewServeMux()
	mux.Handle("GET /health", monitor)
	mux.Handle("GET /metrics", needs.Metrics.Handler())
	if needs.Answers != nil {
		if queries, err = newAPI(ctx, traced(needs.Tracers, needs.Metrics.Meters())); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, queries.Close()) }()
		mux.Handle("/", queries.overHTTP)
	}
	return lifecycle.All(ctx,
		monitor.Run,
		serveHTTP(listen.HTTP, mux, grace, log),
		serveProfiles(needs.Common.ProfileListen, grace, log),
		func(ctx context.Context) error {
			p, err := Open(ctx, needs, monitor, log)
			if err != nil {
				return lifecycle.Ended(ctx, err)
			}
			defer p.Close()
			if queries != nil {
				answers := p.Query(ctx)
				if err := needs.Metrics.Pipeline(pipelineOf(answers)); err != nil {
					return err
				}
				queries.service, queries.registry = answers, query.NewRegistry(answers, p.store)
				queries.quarantine = query.NewQuarantine(answers, p.decide(), p.log)
			}
			return lifecycle.All(ctx, append(build(p), p.epochs.Run, p.followDurability,
				serveGRPC(listen.GRPC, monitor, grace, log, queries))...)
		},
	)
}

// RunIngest runs ingest as a process of its own.
func RunIngest(ctx context.Context, s settings.Ingest, log *slog.Logger) error {
	needs := Needs{Common: s.Common, Broker: s.Broker, Name: "ingest"}
	return runService(ctx, needs, Addresses{s.HTTPListen, s.GRPCListen}, log, func(p *Platform) []lifecycle.Run {
		return []lifecycle.Run{p.Ingest(s.Stage, s.Shard)}
	})
}

// RunCleaner runs silver-cleaner as a process of its own.
func RunCleaner(ctx context.Context, s settings.Cleaner, log *slog.Logger) error {
	needs := Needs{Common: s.Common, Broker: s.Broker, Name: "silver-cleaner"}
	return runService(ctx, needs, Addresses{s.HTTPListen, s.GRPCListen}, log, func(p *Platform) []lifecycle.Run {
		return []lifecycle.Run{p.Cleaner(s.Stage)}
	})
}

// RunAggregator runs gold-aggregator as a process of its own.
func RunAggregator(ctx context.Context, s settings.Aggregator, log *slog.Logger) error {
	needs := Needs{Common: s.Common, Broker: s.Broker, Postgres: &s.Postgres, Name: "gold-aggregator"}
	return runService(ctx, needs, Addresses{s.HTTPListen, s.GRPCListen}, log, func(p *Platform) []lifecycle.Run {
		return []lifecycle.Run{p.Aggregator(s.Stage, s.Gold), p.Janitor(s.History)}
	})
}

// RunQuery runs query as a process of its own.
func RunQuery(ctx context.Context, s settings.Query, log *slog.Logger) error {
	needs := Needs{Common: s.Common, Broker: s.Broker, Postgres: &s.Postgres, Answers: &s.Answers, Name: "query"}
	return runService(ctx, needs, Addresses{s.HTTPListen, s.GRPCListen}, log, func(p *Platform) []lifecycle.Run {
		return nil
	})
}

// Extras is what only some runs of all services have. The zero value has nothing.
type Extras struct {
	// Ready, if not nil, is called once they run.
	Ready func(context.Context, *Platform) error
	// Syncs, if not nil, is how the broker is known to sync.
	Syncs *broker.Durability
}

// RunAll runs all four services in one process, as `energy up` and `energy
// run-stream` do.
func RunAll(ctx context.Context, s settings.All, log *slog.Logger, x Extras) error {
	needs := Needs{
		Common: s.Common, Broker: s.Broker, Postgres: &s.Postgres, Answers: &s.Answers, Name: "energy", Syncs: x.Syncs,
	}
	return runService(ctx, needs, Addresses{s.HTTPListen, s.GRPCListen}, log, func(p *Platform) []lifecycle.Run {
		runs := []lifecycle.Run{p.Aggregator(s.Stage, s.Gold), p.Cleaner(s.Stage), p.Janitor(s.History)}
		for shard := range p.topology.IngressShards {
			runs = append(runs, p.Ingest(s.Stage, shard))
		}
		if x.Ready != nil {
			runs = append(runs, func(ctx context.Context) error { return x.Ready(ctx, p) })
		}
		return runs
	})
}
