package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/services/internal/rig"
)

// server is a nats-server process on an address of its own.
type server struct {
	rig.Process
	dir     string
	address string
	monitor string // address
	store   string // folder of the streams
}

// newServer prepares a nats-server with its streams in dir/store.
func newServer(c *Config, dir string, ports *ports) (*server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &server{dir: dir, store: filepath.Join(dir, "store")}
	for _, address := range []*string{&s.address, &s.monitor} {
		var err error
		if *address, err = ports.free(); err != nil {
			return nil, err
		}
	}
	// What is lost when a process dies does not depend on the interval. The janitor
	// keeps what was read for so long: it is to remove something in a run of seconds.
	sync := "1s"
	if c.SyncAlways {
		sync = "always"
	}
	config := fmt.Sprintf("server_name: chaos\nlisten: %q\nhttp: %q\nmax_payload: 8388608\n"+
		"jetstream { store_dir: %q, sync_interval: %s }\n", s.address, s.monitor, s.store, sync)
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s.Process = rig.Process{
		Name: "nats-server", Path: filepath.Join(c.Binaries, "nats-server"), Args: []string{"--config", path},
		Log: filepath.Join(dir, "nats-server.log"),
	}
	return s, nil
}

// url is where the server is reached without a line between.
func (s *server) url() string { return "nats://" + s.address }

// open starts the server and returns when its streams answer.
func (s *server) open(ctx context.Context) error {
	if err := s.Start(); err != nil {
		return err
	}
	return s.answering(ctx)
}

// answering waits until JetStream answers.
func (s *server) answering(ctx context.Context) error {
	conn, js, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return until(ctx, func() error {
		if err := s.Ended(); err != nil {
			return done{err}
		}
		_, err := js.AccountInfo(ctx)
		return err
	})
}

// connect connects past all lines.
func (s *server) connect(ctx context.Context) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := broker.Connect(ctx, broker.ConnectConfig{URL: s.url(), Name: "chaos"})
	if err != nil {
		return nil, nil, err
	}
	js, err := broker.JetStream(conn)
	return conn, js, err
}

// kill ends the server without any warning; stop asks it to.
func (s *server) kill(ctx context.Context) error { return s.End(ctx, syscall.SIGKILL) }

// copyTo copies the streams of a server that does not run to a folder.
func (s *server) copyTo(dir string) error { return replace(dir, s.store) }

// restore puts the streams of a server that does not run back to a copy.
func (s *server) restore(dir string) error { return replace(s.store, dir) }

func replace(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}

// done is an error that ends a wait.
type done struct{ error }

func (d done) Unwrap() error { return d.error }

// pollPause is between two looks at what is waited for.
const pollPause = 20 * time.Millisecond

// until asks until there is no error, and returns the last one when ctx ends first.
func until(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if end, ok := err.(done); ok { //nolint:errorlint // it is given as it is
			return end.error
		}
		if err == nil {
			return nil
		}
		if pause(ctx, pollPause) != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
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
