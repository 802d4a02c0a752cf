package pgtest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Proxy stands between a test and its database, and can lose the server's answer to a commit: the transaction is
// committed, the connection is closed, and the client is not told.
type Proxy struct {
	url      string
	network  string
	server   string // address
	listener net.Listener

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
	every  int // lost is one in so many
	seen   int
	lost   int

	work sync.WaitGroup
}

// NewProxy returns a proxy to the database of a URL. It ends with the test, and its connections with it.
func NewProxy(tb testing.TB, database string) *Proxy {
	tb.Helper()
	c, err := pgconn.ParseConfig(database)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	p := &Proxy{open: make(map[net.Conn]struct{})}
	p.network, p.server = pgconn.NetworkAddress(c.Host, c.Port)
	if p.listener, err = new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0"); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Host: p.listener.Addr().String(),
		Path: "/" + c.Database, RawQuery: "sslmode=disable",
	}
	p.url = u.String()
	p.work.Go(func() { p.accept(tb.Context()) })
	tb.Cleanup(p.close)
	return p
}

// URL returns the URL of the database by way of the proxy.
func (p *Proxy) URL() string { return p.url }

// LoseCommits loses the answer to one in so many commits from now on, the next one first; to none with 0.
func (p *Proxy) LoseCommits(every int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every, p.seen = every, 0
}

// Lost returns how many answers were lost.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		server, err := new(net.Dialer).DialContext(ctx, p.network, p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.keep(client, server)
		both := func(pass func()) func() {
			return func() {
				pass()
				p.drop(client, server)
			}
		}
		p.work.Go(both(func() { _, _ = io.Copy(server, client) }))
		p.work.Go(both(func() { p.answer(client, server) }))
	}
}

// answer passes on what the server says, message by message.
func (p *Proxy) answer(client io.Writer, server io.Reader) {
	for header := make([]byte, 5); ; { // a message's type and its length, which counts itself
		if _, err := io.ReadFull(server, header); err != nil {
			return
		}
		body := make([]byte, max(binary.BigEndian.Uint32(header[1:]), 4)-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if header[0] == 'C' && string(body) == "COMMIT\x00" && p.loses() {
			return
		}
		if _, err := client.Write(append(header[:5:5], body...)); err != nil {
			return
		}
	}
}

// loses counts a commit and reports whether its answer is lost.
func (p *Proxy) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.every == 0 {
		return false
	}
	p.seen++
	if p.seen%p.every != 1%p.every {
		return false
	}
	p.lost++
	return true
}

func (p *Proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.open[c] = struct{}{}; p.closed {
			_ = c.Close()
		}
	}
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.open, c)
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
