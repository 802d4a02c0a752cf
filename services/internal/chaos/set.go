package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/energy-platform/energy/pkg/broker"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/rig"
)

// service is one service process with its lines to the servers.
type service struct {
	rig.Process
	kind  string
	turn  sync.Mutex // one fault at a time
	nats  *line
	store *line // nil: it does not use Postgres
	http  string
	grpc  string
}

// set is one process of each service.
type set struct {
	name     string
	services []*service
}

// deployment is what a set works on.
type deployment struct {
	binaries, dir string
	server        *server
	postgres      *postgres
	database      string
	network       network
	ports         *ports
}

// stages are the services that work; query comes besides.
var stages = []string{"ingest", "silver-cleaner", "gold-aggregator"}

// newSet prepares the services of these names; they are not started. Environment is
// theirs besides.
func (d *deployment) newSet(name string, services []string, environment ...string) (*set, error) {
	s := &set{name: name}
	for _, kind := range services {
		one, err := d.service(name, kind)
		if err != nil {
			return s, err
		}
		one.Environment = append(one.Environment, environment...)
		s.services = append(s.services, one)
	}
	return s, nil
}

func (d *deployment) service(set, kind string) (*service, error) {
	s := &service{kind: kind}
	name := set + "-" + kind
	var err error
	if s.http, err = d.ports.free(); err != nil {
		return nil, err
	}
	if s.grpc, err = d.ports.free(); err != nil {
		return nil, err
	}
	if s.nats, err = d.network.line(name+" to nats", d.server.address); err != nil {
		return nil, err
	}
	s.Process = rig.Process{
		Name: name, Path: filepath.Join(d.binaries, kind), Log: filepath.Join(d.dir, name+".log"),
		Environment: []string{
			"ENERGY_INSTANCE=" + name, "ENERGY_NATS_URL=nats://" + s.nats.address(),
			"ENERGY_NATS_MONITOR=http://" + d.server.monitor,
			"ENERGY_HTTP_LISTEN=" + s.http, "ENERGY_GRPC_LISTEN=" + s.grpc,
		},
	}
	if kind == "gold-aggregator" || kind == "query" {
		var url string
		if s.store, url, err = d.postgres.line(d.network, name+" to postgres", d.database); err != nil {
			return nil, err
		}
		s.Environment = append(s.Environment, "DATABASE_URL="+url,
			"ENERGY_PARENTS_QUIET=2s", "ENERGY_STATEMENT_TIMEOUT=20s", "ENERGY_REPLAY_HORIZON=2s")
	}
	return s, nil
}

// migrate makes streams and schema.
func (d *deployment) migrate(ctx context.Context) error {
	return d.tool(ctx, "migrate", "--partitions", "4", "--lease-ttl", "1s")
}

// tool runs the command energy, past all lines.
func (d *deployment) tool(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(d.binaries, "energy"), args...)
	cmd.Env = []string{"ENERGY_NATS_URL=" + d.server.url(), "DATABASE_URL=" + d.postgres.url(d.database)}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("energy %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// hold keeps the janitor from READINGS, which is asked in the end: a reader of that
// name has read nothing.
func (d *deployment) hold(ctx context.Context) error {
	conn, js, err := d.server.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	positions, err := broker.OpenPositions(ctx, js)
	if err != nil {
		return err
	}
	readings, err := broker.Stream(ctx, js, broker.StreamReadings)
	if err != nil {
		return err
	}
	at := broker.Position{Stream: broker.StreamReadings, Created: readings.Created}
	_, err = positions.Store(ctx, "chaos", at, 0)
	return err
}

func (s *set) start() error {
	for _, one := range s.services {
		if err := one.Start(); err != nil {
			return err
		}
	}
	return nil
}

// stop asks all to stop, in the order in which readings pass them.
func (s *set) stop(ctx context.Context) error {
	errs := make([]error, len(s.services))
	var all sync.WaitGroup
	for i, one := range s.services {
		all.Go(func() {
			_ = one.Signal(syscall.SIGCONT)
			errs[i] = one.Stop(ctx)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// close ends all without ado and closes their lines.
func (s *set) close(ctx context.Context, p *postgres) error {
	var errs []error
	for _, one := range s.services {
		errs = append(errs, one.End(ctx, syscall.SIGKILL))
		one.nats.close()
		if one.store != nil {
			p.forget(one.store)
		}
	}
	return errors.Join(errs...)
}

// client returns a client of the set's query service.
func (s *set) client() (energyv1.QueryServiceClient, *grpc.ClientConn, error) {
	conn, err := grpc.NewClient(s.services[len(s.services)-1].grpc,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return nil, nil, err
	}
	return energyv1.NewQueryServiceClient(conn), conn, nil
}

// ports gives out addresses that nobody listens on, each once. They lie below those
// that connections are given, so that a killed service finds its own free.
type ports struct {
	mu    sync.Mutex
	given map[int]bool
}

func (p *ports) free() (string, error) {
	const lowest, highest = 15000, 32000
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1000 {
		port := lowest + rand.IntN(highest-lowest)
		if p.given[port] {
			continue
		}
		p.given[port] = true
		address := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", address) //nolint:noctx // it does not wait
		if err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// makeDirs makes folders that all users reach.
func makeDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}
