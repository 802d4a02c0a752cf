package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/services/internal/rig"
)

// subject is what is measured: it reads READINGS until all of it is in Postgres.
type subject interface {
	// prepare brings it to where it waits with empty streams.
	prepare(ctx context.Context) error
	// hold keeps it from reading what is stored now, release lets it.
	hold() error
	release() error
	// done asks how many readings are in Postgres.
	done(ctx context.Context, db *pgx.Conn) (int64, error)
	// failed returns an error when it has ended by itself.
	failed() error
	usage() rig.Usage
	stop(ctx context.Context) error
}

// process returns a program that is not started, with what it wrote in a file of the run.
func (r *run) process(name string, args []string, environment ...string) *rig.Process {
	return &rig.Process{
		Name: name, Path: filepath.Join(r.binaries, name), Args: args, Log: filepath.Join(r.dir, name+".log"),
		Environment: append([]string{"ENERGY_NATS_URL=" + r.natsURL, "DATABASE_URL=" + r.databaseURL}, environment...),
	}
}

// services is the platform as processes: the four services, or all in one.
type services struct {
	run  *run
	held *rig.Process // ingest, or the one
	all  []*rig.Process
}

func (s *services) prepare(ctx context.Context) error {
	r := s.run
	if err := r.tool(ctx, "migrate", "--partitions", "16", "--lease-ttl", "2m"); err != nil {
		return err
	}
	for i, name := range []string{"ingest", "silver-cleaner", "gold-aggregator", "query"} {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		grpc, err := freeAddress()
		if err != nil {
			return err
		}
		environment := []string{"ENERGY_HTTP_LISTEN=" + address, "ENERGY_GRPC_LISTEN=" + grpc, "ENERGY_LOG_LEVEL=WARN"}
		if r.profiles != nil {
			listen, err := r.profiles.of(name)
			if err != nil {
				return err
			}
			environment = append(environment, "ENERGY_PROFILE_LISTEN="+listen)
		}
		one := r.process(name, nil, environment...)
		if err := one.Start(); err != nil {
			return err
		}
		if s.all = append(s.all, one); i == 0 {
			s.held = one
		}
		if err := healthy(ctx, one, address); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	catalog := filepath.Join(r.dir, "catalog.yaml")
	if err := os.WriteFile(catalog, []byte(catalogOf(r.workload)), 0o600); err != nil {
		return err
	}
	return r.tool(ctx, "catalog", "apply", catalog)
}

func (s *services) hold() error    { return s.held.Signal(syscall.SIGSTOP) }
func (s *services) release() error { return s.held.Signal(syscall.SIGCONT) }

func (s *services) done(ctx context.Context, db *pgx.Conn) (n int64, err error) {
	const sum = "SELECT coalesce(sum(readings_in), 0)::bigint FROM gold.positions WHERE stage = 'gold'"
	err = db.QueryRow(ctx, sum).Scan(&n)
	return n, err
}

func (s *services) failed() error {
	for _, one := range s.all {
		if err := one.Ended(); err != nil {
			return err
		}
	}
	return nil
}

func (s *services) usage() (all rig.Usage) {
	for _, one := range s.all {
		all = all.Plus(one.Usage())
	}
	return all
}

func (s *services) stop(ctx context.Context) error {
	var errs []error
	for _, one := range s.all {
		errs = append(errs, one.Stop(ctx))
	}
	return errors.Join(errs...)
}

// bare is the floor as a process.
type bare struct {
	run   *run
	child *exec.Cmd
	ended chan error
	in    io.WriteCloser
}

func (b *bare) prepare(ctx context.Context) error {
	r := b.run
	if err := r.tool(ctx, "migrate", "--partitions", "16"); err != nil { // for the stream
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"floor", "--nats", r.natsURL, "--database", r.databaseURL, "--window", r.workload.Window.String()}
	b.child = exec.Command(self, args...) //nolint:noctx // it is ended by a signal
	b.child.Stderr = os.Stderr
	if b.in, err = b.child.StdinPipe(); err != nil {
		return err
	}
	out, err := b.child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.child.Start(); err != nil {
		return err
	}
	if _, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		return err
	}
	b.ended = make(chan error, 1)
	go func() { b.ended <- b.child.Wait() }()
	return nil
}

func (b *bare) failed() error {
	select {
	case err := <-b.ended:
		b.ended <- err // for stop
		return fmt.Errorf("the floor has ended: %w", err)
	default:
		return nil
	}
}

func (b *bare) hold() error { return nil }

func (b *bare) release() error {
	_, err := io.WriteString(b.in, "go\n")
	return err
}

func (b *bare) done(ctx context.Context, db *pgx.Conn) (n int64, err error) {
	err = db.QueryRow(ctx, "SELECT readings FROM floor_position").Scan(&n)
	return n, err
}

func (b *bare) usage() rig.Usage { return rig.UsageOf(b.child.Process.Pid) }

func (b *bare) stop(context.Context) error {
	if b.child == nil || b.child.Process == nil {
		return nil
	}
	if b.ended == nil { // it never stood
		return errors.Join(b.child.Process.Kill(), b.child.Wait())
	}
	err := b.child.Process.Signal(syscall.SIGTERM)
	return errors.Join(err, <-b.ended)
}

// tool runs the command energy.
func (r *run) tool(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(r.binaries, "energy"), args...)
	cmd.Env = []string{"ENERGY_NATS_URL=" + r.natsURL, "DATABASE_URL=" + r.databaseURL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("energy %v: %w\n%s", args, err, out)
	}
	return nil
}

// pollPause is between two looks at what is waited for.
const pollPause = 5 * time.Millisecond

// healthy waits until a service says that it is well.
func healthy(ctx context.Context, service *rig.Process, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if err := service.Ended(); err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/health", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close() // the status is all there is to it
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := pause(ctx, 10*pollPause); err != nil {
			return fmt.Errorf("not healthy in a minute: %w", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// preload stores the workload in READINGS.
func (r *run) preload(ctx context.Context) error {
	conn, err := nats.Connect(r.natsURL)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	for m := range r.workload.messages() {
		msg := nats.NewMsg("readings.bench")
		msg.Header.Set("Content-Type", m.contentType)
		msg.Data = append([]byte(nil), m.payload...)
		if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	stream, err := js.Stream(ctx, "READINGS")
	if err != nil {
		return err
	}
	want := (r.workload.Readings + r.workload.Batch - 1) / r.workload.Batch
	if got := stream.CachedInfo().State.Msgs; got != uint64(want) {
		return fmt.Errorf("READINGS has %d messages, want %d", got, want)
	}
	return nil
}
