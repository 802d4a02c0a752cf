// Package localpg runs a private Postgres cluster from the machine's own binaries, for laptops and for tests.
//
// It promises: one cluster per folder, resumed by the next Start of the same folder; a server that listens on loopback
// only, on a free port, behind a random password; a set-up that crashed half-way or a server that outlived its parent
// is healed by the next Start; nothing of the caller's environment (PGDATA, PGPORT, ...) reaches the server. Run by
// root, which Postgres refuses, it drops to the user postgres, else nobody.
//
// It fails with ErrNoPostgres when the machine has no server binaries that fit, with a *dirlock.HeldError when another
// process runs the folder, and otherwise with an error that carries the end of the server's log.
//
// The folder holds:
//
//	lock              held while a process runs the cluster
//	postgres.log      of this run; postgres.log.1 of the run before
//	cluster/data      the data folder of Postgres
//	cluster/password  the superuser's password, 0600
//	moved-to          only when cluster/ had to be put elsewhere: its place
package localpg

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/energy-platform/energy/pkg/dirlock"
)

// User is the superuser of every cluster that this package makes.
const User = "energy"

const (
	host           = "127.0.0.1"
	defaultTimeout = 2 * time.Minute // of Start, when its context has no deadline: recovery after a crash can be long
)

// Options says which cluster to run and how. Only Dir is needed.
type Options struct {
	// Dir is the folder of the cluster; made when absent. Removing it is how to begin anew.
	Dir string
	// Durable keeps what is committed, whatever crashes. When false, fsync and its kin are off, for tests: faster, but a
	// kill of the server loses the commits of its last moment, and a crash of the machine can ruin the cluster.
	Durable bool
	// BinDir is the folder of initdb, pg_ctl and postgres. Empty: pg_config on the PATH, then the usual places.
	BinDir string
	// Logger is told of every change of state. Nil: silence.
	Logger *slog.Logger

	outlive      bool   // tests: do not tie the server's life to ours
	fallbackRoot string // tests: instead of defaultFallbackRoot
}

// Server is a running cluster. Its methods may be called from many goroutines.
type Server struct {
	password string
	port     int
	proc     *process
	lock     *dirlock.Lock
	log      string // path
	logger   *slog.Logger
	stop     stopOnce
}

// Start makes the cluster of o.Dir when there is none, stops a server that a killed process left running on it, starts
// the server and returns when it answers. The context bounds the start only (two minutes when it has no deadline); when
// it ends first, nothing is left running.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	dir, err := openDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	lock, err := dirlock.Acquire(dir)
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	o.Dir = dir
	s, err := start(ctx, o)
	if err != nil {
		_ = lock.Release() // the start's error is the one to tell
		return nil, fmt.Errorf("localpg: %w", err)
	}
	s.lock = lock
	return s, nil
}

// openDir makes the folder and gives its one true name, so that two spellings of it are one cluster.
func openDir(dir string) (string, error) {
	if dir == "" {
		return "", fmt.Errorf("options name no folder: set Dir")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("absolute path of %s: %w", dir, err)
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", fmt.Errorf("resolve the folder: %w", err)
	}
	return resolved, nil
}

// start does the work of Start with the folder's lock held.
func start(ctx context.Context, o Options) (*Server, error) {
	begin := time.Now()
	c, err := openCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	o.Logger.InfoContext(ctx, "postgres is ready", "dir", c.folder(), "port", s.port, "pid", s.PID(),
		"version", c.bin.major, "durable", o.Durable, "took", time.Since(begin))
	return s, nil
}

// URL is the address of a database of the cluster, as User and with its password: a secret. The database need not
// exist; "postgres" always does.
func (s *Server) URL(database string) string {
	return dsn(s.port, s.password, database)
}

// PID is the process id of the postmaster, also after it exited.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// Exited is closed when the server is gone, stopped or crashed. After a crash, Stop is still to be called, to give the
// folder free.
func (s *Server) Exited() <-chan struct{} { return s.proc.done }

// Err is nil while the server runs and after Stop; after a crash, or a shutdown that someone else asked for, it says
// how the server ended, with the end of its log.
func (s *Server) Err() error {
	select {
	case <-s.Exited():
		if s.stop.asked.Load() {
			return nil
		}
		return fmt.Errorf("localpg: %w", s.obituary())
	default:
		return nil
	}
}

func dsn(port int, password, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(User, password),
		Host:     net.JoinHostPort(host, strconv.Itoa(port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}
