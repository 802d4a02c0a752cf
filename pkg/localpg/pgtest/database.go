package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	objectInUse    = "55006" // SQLSTATE
	migrateTimeout = time.Minute
	copyPatience   = 10 * time.Second
	copyPause      = 20 * time.Millisecond
)

// template is a database that was migrated once and is then copied.
type template struct {
	once     sync.Once
	database string
	err      error
}

// template returns the name of the migrated database.
func (s *server) template(ctx context.Context, name string, migrate func(context.Context, string) error) (
	string, error,
) {
	database := s.name("template")
	s.mu.Lock()
	t, ok := s.templates[name]
	if !ok {
		if s.templates == nil {
			s.templates = map[string]*template{}
		}
		t = &template{database: database}
		s.templates[name] = t
	}
	base := s.base
	s.mu.Unlock()

	t.once.Do(func() {
		// The template is for all tests: the end of the one that makes it must not spoil it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), migrateTimeout)
		defer cancel()
		if t.err = create(ctx, base, t.database, "template0"); t.err != nil || migrate == nil {
			return
		}
		if err := migrate(ctx, withDatabase(base, t.database)); err != nil {
			t.err = fmt.Errorf("migrate: %w", err)
		}
	})
	return t.database, t.err
}

// create copies source, waiting for the server to notice that the migration's connections are closed.
func create(ctx context.Context, base, name, source string) error {
	ctx, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	sql := fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", quote(name), quote(source))
	for {
		err := exec(ctx, base, sql)
		var busy *pgconn.PgError
		if !errors.As(err, &busy) || busy.Code != objectInUse {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: close the connections that the migration made", err)
		case <-time.After(copyPause):
		}
	}
}

func drop(ctx context.Context, base, name string) error {
	if err := exec(ctx, base, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", quote(name))); err != nil {
		return fmt.Errorf("drop the database %s: %w", name, err)
	}
	return nil
}

// exec runs a statement on a connection of its own: tests are many and parallel, and none should wait for another's.
func exec(ctx context.Context, base, sql string) error {
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func withDatabase(base, name string) string {
	u, err := url.Parse(base)
	if err != nil { // launch has parsed it
		return base
	}
	u.Path = "/" + name
	return u.String()
}
