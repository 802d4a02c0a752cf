// Package pgtest gives tests a real Postgres: one server per test process, one database per test.
//
// A package that uses it says so in its TestMain, which stops the server and removes its files at the end:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
//
// It promises that every Database is fresh, as its template's migration left it, and seen by no other test. When
// ENERGY_TEST_DATABASE_URL is set (a superuser's URL, any database), that server is used and only what was made there
// is removed. A machine without Postgres fails the tests with the command that mends it; nothing is skipped.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/localpg"
)

// URLVariable names the environment variable with the URL of a server to use instead of a private one.
const URLVariable = "ENERGY_TEST_DATABASE_URL"

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

// shared is the server of this test process. It is a package variable because the test process is its scope: testing.M
// hands nothing to its tests.
var shared = &server{id: strings.ToLower(rand.Text()[:8])}

// Run runs the tests, stops the server that they started, if any, and returns the exit code: 1 also when the server
// could not be cleaned up.
func Run(m *testing.M) int {
	shared.open()
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// Server returns the URL of the shared server's database postgres, as superuser. The first call starts the server.
func Server(tb testing.TB) string {
	tb.Helper()
	base, err := shared.start(tb.Context())
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return withDatabase(base, "postgres")
}

// Database returns the URL of a new database, a copy of the named template, and drops it when the test ends. The first
// test of the process that names a template has migrate fill it; a migration that fails fails every test that asks.
// Tests that ask for one template must bring the same migrate. A nil migrate leaves the template empty.
//
// migrate must close its connections before it returns.
func Database(tb testing.TB, template string, migrate func(ctx context.Context, url string) error) string {
	tb.Helper()
	base, err := shared.start(tb.Context())
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	source, err := shared.template(tb.Context(), template, migrate)
	if err != nil {
		tb.Fatalf("pgtest: template %s: %v", template, err)
	}
	name := shared.name("test")
	if err := create(tb.Context(), base, name, source); err != nil {
		tb.Fatalf("pgtest: copy the template %s: %v", template, err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout) // the test's own has ended
		defer cancel()
		if err := drop(ctx, base, name); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return withDatabase(base, name)
}

// Texts returns the texts that a query gives, one a row, in ascending order.
func Texts(tb testing.TB, database, query string) []string {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), database)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	defer conn.Close(context.WithoutCancel(tb.Context()))
	rows, err := conn.Query(tb.Context(), query)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	slices.Sort(texts)
	return texts
}

// server is started once, by the first test that needs it.
type server struct {
	id string // sets the databases of this process apart on a server that others use too

	mu        sync.Mutex
	inRun     bool
	base      string // URL; empty until started
	err       error  // of the start; it is not tried twice
	dir       string
	local     *localpg.Server // nil when URLVariable is set
	templates map[string]*template
	count     int
}

func (s *server) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inRun = true
}

func (s *server) start(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.inRun:
		return "", errors.New("nothing would stop the server: " +
			"add `func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }` to the package's tests")
	case s.base == "" && s.err == nil:
		// The server is for all tests: the end of the one that starts it must not stop it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
		defer cancel()
		s.base, s.err = s.launch(ctx)
	}
	return s.base, s.err
}

func (s *server) launch(ctx context.Context) (string, error) {
	if base := os.Getenv(URLVariable); base != "" {
		if _, err := url.Parse(base); err != nil {
			return "", fmt.Errorf("%s is no URL: write it as postgres://user:password@host:port/postgres", URLVariable)
		}
		return base, nil
	}
	dir, err := newScratch()
	s.dir = dir
	if err != nil {
		return "", fmt.Errorf("make a folder for the server: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.local, err = localpg.Start(ctx, localpg.Options{Dir: dir, Logger: logger})
	if err != nil {
		return "", err
	}
	return s.local.URL("postgres"), nil
}

// close undoes what the tests made. Databases of a private server go with it.
func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inRun = false
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	if s.local != nil {
		errs = append(errs, s.local.Stop(ctx))
	} else if s.base != "" {
		for _, t := range s.templates {
			errs = append(errs, drop(ctx, s.base, t.database))
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// name is a new name for a database.
func (s *server) name(kind string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return fmt.Sprintf("energy_%s_%s_%d", kind, s.id, s.count)
}
