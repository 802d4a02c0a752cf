package goldstore

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// void is a network on which, while it is silent, nothing arrives and nothing is
// refused: the other host is gone without a word.
type void struct {
	silent atomic.Bool
	mu     sync.Mutex
	conns  []net.Conn
}

type voidConn struct {
	net.Conn
	void *void
}

func (c *voidConn) Write(p []byte) (int, error) {
	if c.void.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// openOver returns a store on a network that can fall silent.
func openOver(t *testing.T, url string, c Config) (*Store, *void) {
	t.Helper()
	pc, err := poolConfig(url, c)
	if err != nil {
		t.Fatal(err)
	}
	v := &void{}
	dial := pc.ConnConfig.DialFunc
	pc.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.conns = append(v.conns, conn)
		return &voidConn{conn, v}, nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.mu.Lock()
		for _, conn := range v.conns {
			_ = conn.Close() // pgx waits for some of them in the background
		}
		v.mu.Unlock()
		pool.Close()
	})
	return &Store{pool: pool, hashID: SeriesID, weeks: map[int64]struct{}{}}, v
}

// Every call on a host that is gone without a word ends, can be made again, and
// succeeds then.
func TestASilentHostIsGivenUp(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	move := PositionMove{Stage: "gold", Stream: "SILVER", Created: time.Unix(1, 0), To: 1}
	calls := map[string]func(context.Context, *Store) error{
		"a flush": func(ctx context.Context, s *Store) error {
			_, err := s.NewWriter(0, c, WriterConfig{}).Flush(ctx, Flush{Groups: groups(c, register, version(0, 1, 1))})
			return err
		},
		"a position": func(ctx context.Context, s *Store) error {
			_, err := s.LoadPosition(ctx, "gold", 0)
			return err
		},
		"the quarantine": func(ctx context.Context, s *Store) error { return s.ProjectQuarantine(ctx, move, nil, nil) },
		"a read": func(ctx context.Context, s *Store) error {
			return s.Read(ctx, func(tx *ReadTx) error {
				_, err := tx.Positions(ctx)
				return err
			})
		},
		"an epoch": func(ctx context.Context, s *Store) error { return s.RegisterEpoch(ctx, c) },
		"a ping":   func(ctx context.Context, s *Store) error { return s.Ping(ctx) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, v := openOver(t, database(t), Config{
				MaxConns: 1, StatementTimeout: time.Second, ConnectTimeout: 5 * time.Second,
			})
			p, err := s.LoadPosition(t.Context(), move.Stage, 0)
			if err == nil {
				_, err = s.ResetPosition(t.Context(), p, move.Stream, move.Created, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			v.silent.Store(true)
			if err := call(ctx, s); !IsRetryable(err) || ctx.Err() != nil {
				t.Errorf("on a silent host: %v", err)
			}
			v.silent.Store(false)
			if err := call(t.Context(), s); err != nil {
				t.Errorf("once it is back: %v", err)
			}
		})
	}
}
