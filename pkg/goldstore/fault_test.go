package goldstore

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
)

// cutter is a network that breaks after a number of writes, until it is mended.
// A negative number never breaks it.
type cutter struct{ left atomic.Int64 }

// errCut is of the kind that package net returns.
var errCut = &net.OpError{Op: "write", Net: "tcp", Err: errors.New("connection cut by the test")}

type cutConn struct {
	net.Conn
	cutter *cutter
}

// Write sends the last message before the cut, whose answer nobody reads: a
// commit may be among them.
func (c *cutConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.cutter.left.Load() >= 0 && c.cutter.left.Add(-1) < 0 {
		c.cutter.left.Store(0)
		_ = c.Conn.Close()
		return n, errCut
	}
	return n, err
}

// openCuttable returns a store on a network that can be cut.
func openCuttable(t *testing.T, url, application string) (*Store, *cutter) {
	t.Helper()
	pc, err := poolConfig(url, Config{Application: application, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	cut := &cutter{}
	cut.left.Store(-1)
	dial := pc.ConnConfig.DialFunc
	pc.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &cutConn{conn, cut}, nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &Store{pool: pool, hashID: SeriesID, weeks: map[int64]struct{}{}}, cut
}

// A flush that is killed at any point and tried again, from the position that is found,
// stores what a single undisturbed one does, and its message once (invariant 1).
func TestKilledFlush(t *testing.T) {
	t.Parallel()
	url, c := database(t), defaultCatalog(t, 2)
	admin := openURL(t, url, Config{Application: "admin"})
	s, cut := openCuttable(t, url, "victim")
	failures := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		all := drawJudged(t)
		mustExec(t, admin, empty)
		if _, err := admin.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), Flush{Groups: collect(c, all)}); err != nil {
			t.Fatal(err)
		}
		want := content(t, admin)

		mustExec(t, admin, empty)
		p, err := admin.LoadPosition(t.Context(), "gold", 0)
		if err == nil {
			_, err = admin.ResetPosition(t.Context(), p, "SILVER", created, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		w := drawWriter(t, s, c)
		batches := drawDeliveries(t, all)
		for i, b := range batches {
			f := Flush{Move: move(uint64(i), uint64(i+1)), Groups: collect(c, b)}
			kind := rapid.SampledFrom([]string{"none", "cut", "terminate", "cancel"}).Draw(t, "fault")
			if disturb(t, w, cut, admin, f, kind) {
				failures[kind]++
			}
			finish(t, w, f)
		}
		if diff := cmp.Diff(want, content(t, admin)); diff != "" {
			t.Fatalf("content differs from that of an undisturbed flush (-want +got):\n%s", diff)
		}
		p, err = admin.LoadPosition(t.Context(), "gold", 0)
		if n := uint64(len(batches)); err != nil || p.Sequence != n || p.Counts.In != n {
			t.Fatalf("position %+v after %d flushes, %v", p, n, err)
		}
	})
	for _, kind := range []string{"cut", "terminate", "cancel"} {
		if failures[kind] == 0 {
			t.Errorf("no flush failed by %s", kind)
		}
	}
	t.Logf("failures: %v", failures)
}

// disturb tries the flush once under a fault and reports whether it failed.
func disturb(t *rapid.T, w *Writer, cut *cutter, admin *Store, f Flush, kind string) bool {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.Feed = func(int64, []gold.Change) (string, []byte, error) { return "gold.0", []byte("x"), nil }
	switch kind {
	case "cut":
		cut.left.Store(int64(rapid.IntRange(0, 14).Draw(t, "writes before the cut")))
		defer cut.left.Store(-1)
	case "terminate":
		f.Feed = func(int64, []gold.Change) (string, []byte, error) {
			_, err := admin.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE application_name = 'victim' AND datname = current_database()`)
			return "gold.0", []byte("x"), err
		}
	case "cancel":
		f.Feed = func(int64, []gold.Change) (string, []byte, error) {
			cancel()
			return "gold.0", []byte("x"), nil
		}
	}
	_, err := w.Flush(ctx, f)
	if err != nil && kind != "cancel" && !IsRetryable(err) {
		t.Fatalf("%s: the error is not said to be retryable: %v", kind, err)
	}
	return err != nil
}

// finish goes on as a service does: from the position that it finds.
func finish(t *rapid.T, w *Writer, f Flush) {
	for range 10 { // pooled connections that were cut fail once each
		p, err := w.store.LoadPosition(t.Context(), "gold", 0)
		if err == nil && p.Sequence == f.Move.To {
			return
		}
		if err == nil {
			_, err = w.Flush(t.Context(), f)
		}
		if err != nil && !IsRetryable(err) {
			t.Fatal(err)
		}
	}
	t.Fatal("the flush never succeeds")
}

func TestIsRetryable(t *testing.T) {
	t.Parallel()
	s := openURL(t, "postgres://nobody@127.0.0.1:1/nothing", Config{ConnectTimeout: time.Second})
	refused := s.Ping(t.Context())
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"no error", nil, false},
		{"a refused connection", refused, true},
		{"an admin's shutdown", &pgconn.PgError{Code: "57P01"}, true},
		{"a start-up", &pgconn.PgError{Code: "57P03"}, true},
		{"a full disk", &pgconn.PgError{Code: "53100"}, true},
		{"a replica after a failover", &pgconn.PgError{Code: "25006"}, true},
		{"a deadlock", &pgconn.PgError{Code: "40P01"}, true},
		{"a wrong password", &pgconn.PgError{Code: "28P01"}, false},
		{"a text that cannot be stored", &pgconn.PgError{Code: "22021"}, false},
		{"a cancelled call", context.Canceled, false},
		{"a deadline", context.DeadlineExceeded, true},
		{"an overtaken flush", ErrContended, true},
		{"a moved position", ErrPositionMoved, false},
		{"a missing row", pgx.ErrNoRows, false},
		{"a corrupt row", gold.ErrCorrupt, false},
		{"a network that is unreachable", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.EHOSTUNREACH)}, true},
		{"a full disk of this machine", &fs.PathError{Op: "write", Path: "trail", Err: syscall.ENOSPC}, false},
	} {
		if got := IsRetryable(tt.err); got != tt.want {
			t.Errorf("%s: %v, want %v (%v)", tt.name, got, tt.want, tt.err)
		}
	}
}
