package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func count(t *testing.T, url, table string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDatabase(t *testing.T) {
	t.Parallel()

	t.Run("IsAFreshCopyForEveryTest", func(t *testing.T) {
		t.Parallel()
		template := shared.name("counted") // new in every run of -count
		var migrations atomic.Int32
		migrate := func(ctx context.Context, url string) error {
			migrations.Add(1)
			return exec(ctx, url, "CREATE TABLE readings AS SELECT 1 AS v")
		}
		var urls sync.Map
		t.Run("parallel", func(t *testing.T) {
			for i := range 8 {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					url := Database(t, template, migrate)
					if _, twice := urls.LoadOrStore(url, true); twice {
						t.Errorf("two tests share %s", url)
					}
					if err := exec(t.Context(), url, "INSERT INTO readings VALUES (2)"); err != nil {
						t.Fatal(err)
					}
					if n := count(t, url, "readings"); n != 2 {
						t.Errorf("%d rows, want 2: another test's are here", n)
					}
				})
			}
		})
		if n := migrations.Load(); n != 1 {
			t.Errorf("migrated %d times, want once", n)
		}
		urls.Range(func(url, _ any) bool {
			if err := exec(t.Context(), url.(string), "SELECT"); err == nil || !strings.Contains(err.Error(), "3D000") {
				t.Errorf("%s after its test: %v, want SQLSTATE 3D000 (no such database)", url, err)
			}
			return true
		})
	})

	t.Run("KeepsTemplatesApart", func(t *testing.T) {
		t.Parallel()
		filled := Database(t, "filled", func(ctx context.Context, url string) error {
			return exec(ctx, url, "CREATE TABLE t ()")
		})
		empty := Database(t, "empty", nil)
		if n := count(t, filled, "pg_class WHERE relname = 't'"); n != 1 {
			t.Error("the template's table is missing")
		}
		if n := count(t, empty, "pg_class WHERE relname = 't'"); n != 0 {
			t.Error("another template's table is here")
		}
	})

	t.Run("IsDroppedUnderOpenConnections", func(t *testing.T) {
		t.Parallel()
		t.Run("inner", func(t *testing.T) {
			conn, err := pgx.Connect(t.Context(), Database(t, "empty", nil))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close(context.Background()) })
		})
	})
}

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("ServesAllTests", func(t *testing.T) {
		t.Parallel()
		if a, b := Server(t), Server(t); a != b {
			t.Errorf("two servers: %s and %s", a, b)
		}
		if err := exec(t.Context(), Server(t), "SELECT"); err != nil {
			t.Error(err)
		}
	})

	t.Run("IsRefusedOutsideRun", func(t *testing.T) {
		t.Parallel()
		_, err := (&server{}).start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "os.Exit(pgtest.Run(m))") {
			t.Errorf("err = %v, want it to show the TestMain to add", err)
		}
	})

	t.Run("CleansUpAServerThatIsNotItsOwn", func(t *testing.T) {
		t.Parallel()
		base := Server(t)
		s := &server{id: "other", inRun: true, base: base}
		name, err := s.template(t.Context(), "mine", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, base, "pg_database WHERE datname = '"+name+"'"); n != 0 {
			t.Error("the template was left behind")
		}
	})

	t.Run("TellsEveryTestOfAFailedMigration", func(t *testing.T) {
		t.Parallel()
		s := &server{id: "failing", inRun: true, base: Server(t)}
		defer s.close()
		broken := errors.New("migration 7 is broken")
		for range 2 {
			_, err := s.template(t.Context(), "broken", func(context.Context, string) error { return broken })
			if !errors.Is(err, broken) {
				t.Errorf("err = %v, want %v", err, broken)
			}
		}
	})
}
