package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	logTail     = 2 << 10 // bytes of log that an error carries
	maxAttempts = 5
	firstPause  = 10 * time.Millisecond
	longPause   = 200 * time.Millisecond
)

// exitError says that the server went away unasked.
type exitError struct {
	state error  // of the process; nil for exit code 0
	said  string // the end of its log
	log   string
}

func (e *exitError) Error() string {
	state := "exit status 0"
	if e.state != nil {
		state = e.state.Error()
	}
	return fmt.Sprintf("postgres has ended (%s), see %s: %s", state, e.log, e.said)
}

// passing reports whether another attempt may fare better: someone took the port between our choice and the server's
// bind, or the last children of a killed server have not yet noticed its end.
func (e *exitError) passing() bool {
	for _, sign := range []string{"could not bind", "could not create any TCP/IP sockets", "is still in use"} {
		if strings.Contains(e.said, sign) {
			return true
		}
	}
	return false
}

// run starts the server and waits until it answers.
func (c *cluster) run(ctx context.Context) (*Server, error) {
	if err := os.Rename(c.log, c.log+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("turn the log over: %w", err)
	}
	for attempt := 1; ; attempt++ {
		s, err := c.attempt(ctx)
		var exit *exitError
		if err == nil || !errors.As(err, &exit) || !exit.passing() || attempt == maxAttempts {
			return s, err
		}
		c.logger.WarnContext(ctx, "postgres could not start, trying again", "attempt", attempt, "error", err)
		if err := pause(ctx, longPause*time.Duration(attempt)); err != nil {
			return nil, errors.Join(err, exit)
		}
	}
}

func (c *cluster) attempt(ctx context.Context) (*Server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, fmt.Errorf("choose a port: %w", err)
	}
	log, err := os.OpenFile(c.log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer log.Close() // the server has its own copy
	args := []string{"-D", c.data()}
	for _, setting := range settings(port, c.durable) {
		args = append(args, "-c", setting)
	}
	// The server outlives ctx, which bounds only its start.
	cmd := command(context.WithoutCancel(ctx), c.as, c.data(), c.bin.tool("postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if !c.outlive {
		dieWithParent(cmd.SysProcAttr)
	}
	proc, err := launch(cmd)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	s := &Server{password: c.password, port: port, proc: proc, log: c.log, logger: c.logger}
	if err := c.await(ctx, s); err != nil {
		proc.kill()
		return nil, err
	}
	return s, nil
}

// await returns when the server answers a query, is gone, or ctx ends.
func (c *cluster) await(ctx context.Context, s *Server) error {
	var last error
	for wait := firstPause; ; wait = min(2*wait, longPause) {
		if last = ping(ctx, s.URL("postgres")); last == nil {
			return nil
		}
		select {
		case <-s.Exited():
			return s.obituary()
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w: %w", context.Cause(ctx), last)
		case <-time.After(wait):
		}
	}
}

// obituary is to be asked for after Exited.
func (s *Server) obituary() *exitError {
	said, _ := os.ReadFile(s.log) // no log, no words
	return &exitError{state: s.proc.err, said: tail(said, logTail), log: s.log}
}

func ping(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

// freePort is a port that was free a moment ago. Should another program take it first, the server's bind fails and run
// tries again; should that program be a Postgres too, our password does not open it.
func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
