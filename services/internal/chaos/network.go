package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// network makes the lines between services and servers.
type network struct {
	server *toxiproxy.ApiServer
	ports  *ports
}

func newNetwork(p *ports) network {
	return network{toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()), p}
}

// line is what connections of one service to one server go through.
type line struct {
	mu    sync.Mutex
	proxy *toxiproxy.Proxy
	isCut bool
}

// line opens a line to an address of a server, on an address of its own.
func (n network) line(name, server string) (*line, error) {
	// A port of its own, which is still free when a line that was cut is mended.
	address, err := n.ports.free()
	if err != nil {
		return nil, err
	}
	l := &line{proxy: toxiproxy.NewProxy(n.server, name, address, server)}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("line %s: %w", name, err)
	}
	return l, nil
}

// open listens. A process that we fork meanwhile holds what was listened to before for a
// moment, until it runs its program: that is waited out.
func (l *line) open() (err error) {
	const patience = 10 * time.Second
	for over := time.Now().Add(patience); ; <-time.After(pollPause) {
		err = l.proxy.Start()
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(over) {
			return err
		}
	}
}

// address is where the line is entered.
func (l *line) address() string { return l.proxy.Listen }

// lead makes the line end at another server; connections through it are cut.
func (l *line) lead(server string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.Stop()
	l.proxy.Lock()
	l.proxy.Upstream = server
	l.proxy.Unlock()
	if l.isCut {
		return nil
	}
	return l.open()
}

// cut ends all connections and lets none come about until mend.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	l.proxy.Stop()
}

// mend undoes cut and slow.
func (l *line) mend(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.Toxics.ResetToxics(ctx)
	if !l.isCut {
		return nil
	}
	l.isCut = false
	return l.open()
}

// slow delays all that goes through the line, both ways.
func (l *line) slow(delay time.Duration) error {
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"name":%q,"type":"latency","stream":%q,"attributes":{"latency":%d,"jitter":%d}}`,
			"slow "+stream, stream, delay.Milliseconds(), delay.Milliseconds()/2)
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return err
		}
	}
	return nil
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.Stop()
}
