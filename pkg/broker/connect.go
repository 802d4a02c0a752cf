package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrDisconnected says that there is no connection to the broker now.
var ErrDisconnected = errors.New("not connected to the broker")

// ConnectConfig says how to reach the broker.
type ConnectConfig struct {
	// URL is one server or several, separated by commas. It is ignored when
	// Options has an in-process server.
	URL string
	// Name appears in the broker's connection list.
	Name string
	// InboxPrefix replaces _INBOX, so that a user's permissions can be limited
	// to inboxes of its own.
	InboxPrefix string
	Logger      *slog.Logger
	// Options come last and win: credentials, TLS, nats.InProcessServer.
	Options []nats.Option
}

// Connect connects and keeps the connection: a service that starts before its
// broker waits for it, a lost connection is sought again for ever, with jitter.
// It returns when the first connection stands or ctx ends.
//
// Nothing is buffered while the connection is down. A publish then fails at once
// instead of succeeding into memory: who publishes retries anyway, from a
// position, and the buffer would only hide the state and reorder the retry.
func Connect(ctx context.Context, cfg ConnectConfig) (*nats.Conn, error) {
	log := logger(cfg.Logger)
	connected := make(chan struct{}, 1)
	failed := new(failure)
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.ReconnectBufSize(-1),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(20 * time.Second),
		nats.MaxPingsOutstanding(2),
		// Wrong credentials may be mended while the service runs.
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(*nats.Conn) {
			select {
			case connected <- struct{}{}:
			default:
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if failed.note(err) {
				log.Warn("broker is not reachable yet", "servers", redacted(cfg.URL), "error", err)
			}
		}),
	}
	opts = append(opts, logOptions(log)...)
	if cfg.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(cfg.InboxPrefix))
	}
	nc, err := nats.Connect(cfg.URL, append(opts, cfg.Options...)...)
	if parse, ok := errors.AsType[*url.Error](err); ok {
		err = parse.Err // without the URL
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", redacted(cfg.URL), err)
	}
	if nc.IsConnected() {
		return nc, nil
	}
	select {
	case <-connected:
		return nc, nil
	case <-ctx.Done():
		err := fmt.Errorf("%w: %w", ctx.Err(), cmp.Or(nc.LastError(), failed.last(), ErrDisconnected))
		nc.Close()
		return nil, fmt.Errorf("connect to %s: %w", redacted(cfg.URL), err)
	}
}

// failure is why a connection does not stand yet.
type failure struct {
	mu  sync.Mutex
	err error
}

// note keeps the latest reason and reports whether it is the first.
func (f *failure) note(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.err == nil
	f.err = err
	return first
}

func (f *failure) last() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// redacted is a list of servers without passwords and tokens. What is no URL
// is not repeated, since nobody knows where its secret stands.
func redacted(servers string) string {
	list := strings.Split(servers, ",")
	for i, server := range list {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") { // as the client reads it
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		switch {
		case err != nil:
			list[i] = "a server that is no URL"
		case u.User != nil:
			u.User = url.User("***")
			list[i] = u.String()
		default:
			list[i] = server
		}
	}
	return strings.Join(list, ",")
}

// JetStream returns the JetStream context of nc. An API call without a deadline
// gets five seconds.
func JetStream(nc *nats.Conn) (jetstream.JetStream, error) {
	return jetstream.New(nc, jetstream.WithDefaultTimeout(apiTimeout))
}

// CheckConnection is nil while nc is connected, else it wraps [ErrDisconnected]
// and says what is wrong. It asks nc only and returns at once.
func CheckConnection(nc *nats.Conn) error {
	if nc.IsConnected() {
		return nil
	}
	if err := nc.LastError(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDisconnected, nc.Status(), err)
	}
	return fmt.Errorf("%w: %s", ErrDisconnected, nc.Status())
}

// apiTimeout bounds one call to the JetStream API.
const apiTimeout = 5 * time.Second

// reconnectDelay is called after each round through all servers.
func reconnectDelay(attempts int) time.Duration {
	b := Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second, attempt: min(max(attempts-1, 0), 31)}
	return b.Next()
}

func logOptions(log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if nc.IsClosed() {
				return
			}
			log.Warn("broker connection lost", "error", errText(err))
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("broker connection restored", "server", nc.ConnectedUrlRedacted(), "reconnects", nc.Stats().Reconnects)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("broker reported an error", "subject", subject, "error", err)
		}),
		nats.LameDuckModeHandler(func(nc *nats.Conn) {
			log.Warn("broker is shutting down", "server", nc.ConnectedUrlRedacted())
		}),
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
