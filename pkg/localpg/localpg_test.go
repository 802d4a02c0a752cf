package localpg

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/dirlock"
)

func mustExec(t *testing.T, s *Server, database, sql string) {
	t.Helper()
	ctx := newContext(t)
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func show(t *testing.T, s *Server, database, sql string) string {
	t.Helper()
	ctx := newContext(t)
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var v string
	if err := conn.QueryRow(ctx, sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("ResumesTheClusterOfItsFolder", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		s := mustStart(t, Options{Dir: dir, Durable: true})
		for range 2 {
			if err := s.EnsureDatabase(newContext(t), "energy"); err != nil {
				t.Fatal(err)
			}
		}
		mustExec(t, s, "energy", "CREATE TABLE kept AS SELECT 'yes' AS v")
		mustStop(t, s)
		mustStop(t, s)

		s = mustStart(t, Options{Dir: dir + "/../pg/", Durable: true})
		if got := show(t, s, "energy", "SELECT v FROM kept"); got != "yes" {
			t.Errorf("kept = %q, want yes", got)
		}
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	})

	t.Run("GivesEachProfileItsSettings", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		for _, tt := range []struct {
			durable bool
			want    map[string]string
		}{
			{durable: true, want: map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
				"data_checksums": "on", "server_encoding": "UTF8", "lc_collate": "C"}},
			{durable: false, want: map[string]string{"fsync": "off", "synchronous_commit": "off",
				"full_page_writes": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}},
		} {
			s := mustStart(t, Options{Dir: dir, Durable: tt.durable})
			for name, want := range tt.want {
				sql := "SELECT current_setting('" + name + "')"
				if name == "lc_collate" {
					sql = "SELECT datcollate FROM pg_database WHERE datname = 'postgres'"
				}
				if got := show(t, s, "postgres", sql); got != want {
					t.Errorf("durable %t: %s = %q, want %q", tt.durable, name, got, want)
				}
			}
			mustStop(t, s)
		}
	})

	t.Run("KeepsASecondStartOfTheFolderOut", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		s := mustStart(t, Options{Dir: dir})
		_, err := Start(newContext(t), Options{Dir: dir})
		var held *dirlock.HeldError
		if !errors.As(err, &held) || held.PID != os.Getpid() {
			t.Fatalf("err = %v, want a *dirlock.HeldError of this process", err)
		}
		if got := show(t, s, "postgres", "SELECT 'up'"); got != "up" {
			t.Error("the first server is gone")
		}
	})

	t.Run("AsksForThePassword", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		s := mustStart(t, Options{Dir: dir})
		u, err := url.Parse(s.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(User, "guess")
		if err := ping(newContext(t), u.String()); err == nil || !strings.Contains(err.Error(), "28P01") {
			t.Errorf("err = %v, want SQLSTATE 28P01", err)
		}
		info, err := os.Stat(filepath.Join(dir, "cluster", "password"))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("mode of the password = %o, want 600", mode)
		}
	})

	t.Run("HealsASetUpThatCrashed", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		half := filepath.Join(dir, "init-123", "data")
		if err := os.MkdirAll(half, 0o755); err != nil {
			t.Fatal(err)
		}
		mustStart(t, Options{Dir: dir})
		if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the half-made cluster: %v, want it removed", err)
		}
	})

	t.Run("TellsWhatTheServerSaidWhenItEnds", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		mustStop(t, mustStart(t, Options{Dir: dir}))
		control := filepath.Join(dir, "cluster", "data", "global", "pg_control")
		if err := os.Truncate(control, 0); err != nil {
			t.Fatal(err)
		}
		_, err := Start(newContext(t), Options{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "pg_control") {
			t.Fatalf("err = %v, want the log's words on pg_control", err)
		}
		if _, err := Start(newContext(t), Options{Dir: dir}); errors.As(err, new(*dirlock.HeldError)) {
			t.Errorf("the failed start kept the folder: %v", err)
		}
	})

	t.Run("LeavesNothingWhenItsContextEnds", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		ctx, cancel := context.WithCancel(newContext(t))
		cancel()
		if _, err := Start(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
			t.Fatalf("err = %v, want context.Canceled", err)
		}
		mustStart(t, Options{Dir: dir})
	})

	t.Run("WantsAFolder", func(t *testing.T) {
		t.Parallel()
		if _, err := Start(newContext(t), Options{}); err == nil || !strings.Contains(err.Error(), "set Dir") {
			t.Fatalf("err = %v", err)
		}
	})
}

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("SaysHowItCrashedAndCanBeStartedAgain", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		s := mustStart(t, Options{Dir: dir, Durable: true})
		mustExec(t, s, "postgres", "CREATE TABLE kept AS SELECT 'yes' AS v")
		if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-s.Exited()
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("Err = %v, want it to say killed", err)
		}
		mustStop(t, s)
		s = mustStart(t, Options{Dir: dir, Durable: true})
		if got := show(t, s, "postgres", "SELECT v FROM kept"); got != "yes" {
			t.Errorf("kept = %q, want yes", got)
		}
	})

	t.Run("IsKilledWhenStopMayNotWait", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		s, err := Start(newContext(t), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s.proc.grace = 10 * time.Millisecond
		// A stopped postmaster does not hear SIGINT; SIGKILL it does.
		if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Stop = %v, want context.Canceled", err)
		}
		<-s.Exited()
		mustStart(t, Options{Dir: dir})
	})
}
