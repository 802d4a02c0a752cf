// Package localnats runs a nats-server with JetStream inside this process, for `energy up` and for tests.
//
// It promises: a started server answers and its JetStream is healthy; a restart on the same folder has the same
// streams; one folder is open in one process at a time, which nats-server itself does not see to; no signal is handled
// and no process is ended here. Whatever keeps the server from starting (a taken port, a folder that cannot be written)
// is an error of Start at once: the server on its own only logs it and never becomes ready.
//
// It fails with a *dirlock.HeldError when another process has the folder, and with an error that wraps
// syscall.EADDRINUSE when another program has the port.
package localnats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/energy-platform/energy/pkg/dirlock"
)

const (
	// DefaultSyncInterval bounds what a crash of the machine can lose. It is far below nats-server's two minutes, at a
	// throughput that measures the same.
	DefaultSyncInterval = time.Second

	// DefaultMaxPayload is nats-server's own.
	DefaultMaxPayload = 1 << 20
	// MaxMaxPayload is where nats-server begins to warn.
	MaxMaxPayload = 8 << 20

	defaultHost      = "127.0.0.1"
	defaultMaxMemory = 256 << 20
	readyTimeout     = 30 * time.Second // to listen and be healthy, once the streams are recovered
	readyPause       = 10 * time.Millisecond
)

// Options says which server to run and how. Only Dir is needed.
type Options struct {
	// Dir is the folder of the streams; made when absent.
	Dir string
	// Name is the server's, "energy" when empty. It is to stay the same for one folder.
	Name string
	// Host is the address to listen on, 127.0.0.1 when empty. There is no authentication unless Configure adds it.
	Host string
	// Port to listen on; 0 chooses a free one at every start.
	Port int
	// MaxStore bounds the bytes of all streams together; their own limits are reserved from it. 0: three quarters of the
	// disk's free space.
	MaxStore int64
	// MaxPayload bounds one message in bytes: 0 is DefaultMaxPayload, above MaxMaxPayload is refused.
	MaxPayload int
	// SyncAlways fsyncs before every acknowledgement. Without it, a crash of the machine loses up to SyncInterval of
	// acknowledged messages; a crash of the process loses none.
	SyncAlways bool
	// SyncInterval between fsyncs, DefaultSyncInterval when 0. Consumer positions follow it also under SyncAlways.
	SyncInterval time.Duration
	// MQTT is the address, host:port, to take in MQTT 3.1.1 on; port 0 chooses a free one at every start. Empty: no MQTT.
	// A topic a/b is the subject a.b. What the server keeps for MQTT sessions is limited to 64 MiB a stream and a day.
	MQTT string
	// Logger gets the server's lines (its notices as debug) and one line per start and stop. Nil: silence.
	Logger *slog.Logger
	// Configure changes the server's options last of all: users, permissions, TLS, WebSocket, MQTT. Nil: nothing.
	Configure func(*server.Options)
}

// Server is a running nats-server. Its methods may be called from many goroutines.
type Server struct {
	ns     *server.Server
	lock   *dirlock.Lock
	logger *slog.Logger
	log    *serverLog
	mqtt   string // address, empty when there is none
	stop   sync.Once
	err    error // of Stop
}

// Start runs the server and returns when it is healthy. The context bounds the start only. Recovery of the streams
// cannot be broken off: when the context ends meanwhile, Start still waits for it, so that it leaves nothing running.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	opts, err := o.forServer()
	if err != nil {
		return nil, fmt.Errorf("localnats: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("localnats: make the folder: %w", err)
	}
	lock, err := dirlock.Acquire(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("localnats: %w", err)
	}
	s, err := start(ctx, opts, o.Logger)
	if err != nil {
		_ = lock.Release() // the start's error is the one to tell
		return nil, fmt.Errorf("localnats: start a server on %s: %w", o.Dir, err)
	}
	s.lock = lock
	return s, nil
}

// forServer checks the options and says them in nats-server's terms.
func (o Options) forServer() (*server.Options, error) {
	switch {
	case o.Dir == "":
		return nil, errors.New("options name no folder: set Dir")
	case o.MaxPayload < 0 || o.MaxPayload > MaxMaxPayload:
		return nil, fmt.Errorf("MaxPayload is %d: use 1 to %d, or 0 for %d", o.MaxPayload, MaxMaxPayload, DefaultMaxPayload)
	case o.MaxStore < 0:
		return nil, fmt.Errorf("MaxStore is %d: use a size in bytes, or 0 for what the disk has", o.MaxStore)
	case o.SyncInterval < 0:
		return nil, fmt.Errorf("SyncInterval is %v: use a time, or 0 for %v", o.SyncInterval, DefaultSyncInterval)
	case o.Port < 0 || o.Port > 65535:
		return nil, fmt.Errorf("port is %d: use 1 to 65535, or 0 for a free one", o.Port)
	}
	opts := &server.Options{
		ServerName:             or(o.Name, "energy"),
		Host:                   or(o.Host, defaultHost),
		Port:                   or(o.Port, server.RANDOM_PORT),
		MaxPayload:             int32(or(o.MaxPayload, DefaultMaxPayload)),
		JetStream:              true,
		StoreDir:               o.Dir,
		JetStreamMaxMemory:     defaultMaxMemory,
		JetStreamMaxStore:      o.MaxStore,
		SyncAlways:             o.SyncAlways,
		SyncInterval:           or(o.SyncInterval, DefaultSyncInterval),
		DisableJetStreamBanner: true,
		NoSigs:                 true,
		NoLog:                  true, // it would open its own; ours is set below
	}
	if o.MQTT != "" {
		var err error
		if opts.MQTT, err = forMQTT(o.MQTT); err != nil {
			return nil, err
		}
	}
	if o.Configure != nil {
		o.Configure(opts)
	}
	return opts, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// start does the work of Start with the folder's lock held.
func start(ctx context.Context, opts *server.Options, logger *slog.Logger) (*Server, error) {
	begin := time.Now()
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	s := &Server{ns: ns, logger: logger, log: &serverLog{logger: logger}}
	ns.SetLoggerV2(s.log, false, false, false)
	// Start returns when it listens, or when it has logged something fatal and given up. To shut down beside it is a
	// race for the listener that it may open last.
	ns.Start()
	err = s.await(ctx)
	if err == nil && opts.MQTT.Port != 0 {
		s.mqtt = net.JoinHostPort(opts.MQTT.Host, strconv.Itoa(opts.MQTT.Port)) // the server has put in the port it chose
		err = s.boundMQTT(ctx)
	}
	if err != nil {
		s.shutdown()
		return nil, err
	}
	logger.InfoContext(ctx, "nats is ready", "url", s.URL(), "dir", opts.StoreDir, "sync_always", opts.SyncAlways,
		"sync_interval", opts.SyncInterval, "took", time.Since(begin))
	return s, nil
}

// await returns when the server is healthy, has given up, or may take no longer.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready %v after its start", readyTimeout))
	defer cancel()
	for {
		if err := context.Cause(ctx); err != nil {
			return errors.Join(err, s.Healthy())
		}
		err := s.Healthy()
		if err == nil || s.log.fatal() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(readyPause):
		}
	}
}

// Healthy is nil when the server takes connections and its JetStream, streams and consumers are well; else it says what
// is not.
func (s *Server) Healthy() error {
	if err := s.log.fatal(); err != nil {
		return err
	}
	if !s.ns.Running() {
		return errors.New("nats server is not running")
	}
	if h := s.ns.Healthz(&server.HealthzOptions{}); h.Status != "ok" {
		return fmt.Errorf("nats server is not healthy (%s): %s", h.Status, h.Error)
	}
	return nil
}

// URL is the address for clients on this machine.
func (s *Server) URL() string {
	addr, ok := s.ns.Addr().(*net.TCPAddr)
	if !ok { // Configure has set DontListen
		return ""
	}
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = defaultHost
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// Stop cuts the clients, writes out the streams, waits until the server is gone and gives the folder free. It takes as
// long as the disk does. Stopping twice is no error.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		s.shutdown()
		s.err = s.lock.Release()
		s.logger.Info("nats has stopped")
	})
	return s.err
}

func (s *Server) shutdown() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
