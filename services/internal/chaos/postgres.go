package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/localpg"
)

// postgres is a cluster of its own, which keeps what it committed whatever is killed.
type postgres struct {
	dir  string
	disk *disk // nil: it cannot be filled

	turn   sync.Mutex
	server *localpg.Server // the last one that was started
	lines  []*line
}

// open starts the cluster, again after a kill, and leads the lines to it.
func (p *postgres) open(ctx context.Context) error {
	server, err := localpg.Start(ctx, localpg.Options{Dir: p.dir, Durable: true})
	if err != nil {
		return err
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	p.server = server
	for _, l := range p.lines {
		if err := l.lead(p.address()); err != nil {
			return err
		}
	}
	return nil
}

// line opens a line to the server, which is led on when that is started again, and
// returns the URL of a database by way of it.
func (p *postgres) line(n network, name, database string) (*line, string, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	l, err := n.line(name, p.address())
	if err != nil {
		return nil, "", err
	}
	p.lines = append(p.lines, l)
	return l, p.through(l.address(), database), nil
}

// forget closes a line.
func (p *postgres) forget(l *line) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.lines = slices.DeleteFunc(p.lines, func(other *line) bool { return l == other })
	l.close()
}

// running is the server that was started last.
func (p *postgres) running() *localpg.Server {
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.server
}

// address is where the server listens now: it chooses a port at every start. The
// caller holds turn.
func (p *postgres) address() string {
	u, err := url.Parse(p.server.URL("postgres"))
	if err != nil { // it was made from one
		return ""
	}
	return u.Host
}

// through is the URL of a database by way of an address.
func (p *postgres) through(address, database string) string {
	u, err := url.Parse(p.server.URL(database))
	if err != nil { // it was made from one
		return ""
	}
	u.Host = address
	return u.String()
}

// url is that of a database without a line between.
func (p *postgres) url(database string) string { return p.running().URL(database) }

// create makes an empty database.
func (p *postgres) create(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	return errors.Join(err, conn.Close(ctx))
}

// kill ends the server without any warning. Its sessions' processes notice and end.
func (p *postgres) kill(ctx context.Context) error {
	server := p.running()
	if err := syscall.Kill(server.PID(), syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	select {
	case <-server.Exited():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return server.Stop(ctx) // gives the folder free
}

// stop ends the server in its orderly way.
func (p *postgres) stop(ctx context.Context) error { return p.running().Stop(ctx) }

// revive starts the server again where it has ended by itself, as it does when it
// cannot write what it must.
func (p *postgres) revive(ctx context.Context) error {
	server := p.running()
	select {
	case <-server.Exited():
		if err := server.Stop(ctx); err != nil {
			return err
		}
		return p.open(ctx)
	default:
		return nil
	}
}
