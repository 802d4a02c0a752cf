package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/health"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/publish"
	"github.com/energy-platform/energy/services/internal/rig"
	"github.com/energy-platform/energy/services/internal/source"
)

// binariesDir is where programs are built; TestMain removes it.
var binariesDir = filepath.Join(os.TempDir(), fmt.Sprintf("energy-e2e-%d", os.Getpid()))

func removeBinaries() error { return os.RemoveAll(binariesDir) }

// Many tests need the tool alone; the other programs are built together: one by one they
// take twice as long.
var (
	buildTool   = sync.OnceValue(func() error { return rig.Build(context.Background(), binariesDir, "energy") })
	buildOthers = sync.OnceValue(func() error {
		return rig.Build(context.Background(), binariesDir,
			"ingest", "silver-cleaner", "gold-aggregator", "query", "nats-server")
	})
)

// program returns the path of a program, which is built when it is first needed.
func program(t *testing.T, name string) string {
	t.Helper()
	build := buildOthers
	if name == "energy" {
		build = buildTool
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binariesDir, name)
}

// process is a program under test with what it wrote.
type process struct {
	name        string
	args        []string
	environment []string
	cmd         *exec.Cmd
	output      bytes.Buffer
}

// start starts the program, again after a kill.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.startInto(t, &p.output)
}

// startInto starts the program, which writes to out.
func (p *process) startInto(t *testing.T, out io.Writer) {
	t.Helper()
	p.cmd = exec.Command(program(t, p.name), p.args...)
	p.cmd.Env = append(os.Environ(), p.environment...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// kill ends the program without any warning.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s was to be killed and ended with %v", p.name, err)
	}
}

// stop asks the program to stop and fails the test if it does not do so cleanly.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop %s: %v", p.name, err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s ended with %v", p.name, err)
	}
	if t.Failed() {
		t.Logf("%s wrote:\n%s", p.name, p.output.Bytes())
	}
}

// fleet is the four services as processes of their own.
type fleet struct {
	platform
	broker   *process
	services map[string]*process
	health   map[string]string // HTTP addresses
}

// separate runs the four services as processes against a nats-server process,
// which is given args.
func separate(t *testing.T, args ...string) *fleet {
	t.Helper()
	return separateWith(t, nil, args...)
}

// separateWith is separate with further settings of the services.
func separateWith(t *testing.T, more []string, args ...string) *fleet {
	t.Helper()
	natsAddress := freeAddress(t)
	nats := &process{name: "nats-server", args: append(args,
		"--jetstream", "--store_dir", t.TempDir(), "--addr", "127.0.0.1", "--port", natsAddress[len("127.0.0.1:"):])}
	f := &fleet{broker: nats, services: make(map[string]*process), health: make(map[string]string)}
	f.natsURL, f.databaseURL = "nats://"+natsAddress, database(t)
	common := []string{"ENERGY_NATS_URL=" + f.natsURL, "DATABASE_URL=" + f.databaseURL}
	nats.start(t)
	t.Cleanup(func() {
		if err := nats.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop nats-server: %v", err)
		}
		_ = nats.cmd.Wait() // it exits with the signal's status
	})

	migrate := &process{name: "energy", args: []string{"migrate", "--partitions", "4", "--lease-ttl", "1s"}, environment: common}
	migrate.start(t)
	if err := migrate.cmd.Wait(); err != nil {
		t.Fatalf("energy migrate: %v\n%s", err, migrate.output.Bytes())
	}
	for _, name := range []string{"ingest", "silver-cleaner", "gold-aggregator", "query"} {
		grpcAddress := freeAddress(t)
		f.health[name] = freeAddress(t)
		service := &process{name: name, environment: append([]string{
			"ENERGY_HTTP_LISTEN=" + f.health[name], "ENERGY_GRPC_LISTEN=" + grpcAddress,
		}, append(common, more...)...)}
		service.start(t)
		t.Cleanup(func() { service.stop(t) })
		f.services[name] = service
		if name == "query" {
			f.grpc, f.query = grpcAddress, queryClient(t, grpcAddress)
		}
	}
	return f
}

// parts divides the household file into files of that many rows each.
func parts(t *testing.T, rows, count int) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "gzip", "-dc", householdFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(out, []byte("\n"))
	header, lines := lines[0], lines[1:]
	var files []string
	for i := range count {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("part%d.csv", i))
		part := append(bytes.Clone(header), bytes.Join(lines[i*rows:(i+1)*rows], nil)...)
		if err := os.WriteFile(file, part, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// readingsIn returns what a stage has taken in.
func readingsIn(s *energyv1.GetPipelineStatusResponse, stage string) uint64 {
	for _, one := range s.GetStages() {
		if one.GetStage() == stage {
			return one.GetReadingsIn()
		}
	}
	return 0
}

// TestKilledServicesEndInTheSameRows publishes to four service processes, kills each of
// them once with SIGKILL while it is at work, and compares the end with a platform in one
// process that nothing happened to (invariants 1 and 4).
func TestKilledServicesEndInTheSameRows(t *testing.T) {
	t.Parallel()
	f := separate(t)
	victims := []struct{ service, stage string }{
		{"ingest", "ingest"}, {"silver-cleaner", "silver"}, {"gold-aggregator", "gold"}, {"query", "gold"},
	}
	const rows, series = 2500, 7
	files := parts(t, rows, len(victims))
	for i, victim := range victims {
		before := readingsIn(f.status(t), victim.stage)
		published := make(chan error, 1)
		go func() { published <- f.publish(t.Context(), files[i:i+1], 1) }()
		at := f.await(t, victim.stage+" to be at work", func(s *energyv1.GetPipelineStatusResponse) bool {
			return readingsIn(s, victim.stage) > before
		})
		f.services[victim.service].kill(t)
		if n := readingsIn(at, victim.stage); n >= uint64((i+1)*rows*series) {
			t.Errorf("%s was killed when it had taken in all %d readings", victim.service, n)
		}
		f.services[victim.service].start(t)
		if err := <-published; err != nil {
			t.Fatal(err)
		}
	}
	status := f.await(t, "gold to catch up", caughtUp)
	if n := status.GetMissing(); n != 0 {
		t.Errorf("%d readings are missing", n)
	}

	whole := embedded(t)
	if err := whole.publish(t.Context(), files, 500); err != nil {
		t.Fatal(err)
	}
	whole.await(t, "gold to catch up", caughtUp)
	sameRows(t, "values", whole.rows(t, "gold.values"), f.rows(t, "gold.values"))
	f.healthy(t)
}

func (p *platform) publish(ctx context.Context, files []string, batch int) error {
	mapping, err := source.LoadMapping(householdMapping)
	if err != nil {
		return err
	}
	_, err = publish.Run(ctx, publish.Options{Files: files, Mapping: mapping, URL: p.natsURL, BatchSize: batch})
	return err
}

// healthy asks every service for its health over HTTP.
func (f *fleet) healthy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, address := range f.health {
		if is, err := health.Ask(ctx, address); err != nil || is.State != health.OK {
			t.Errorf("%s is not healthy: %+v, %v", name, is, err)
		}
	}
}
