package goldstore

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The functions of the schema that give answers give the API's (invariant 14).
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one file of migrations/, named <version>_<name>.sql. Files are
// never changed once they were released.
type migration struct {
	version  int
	name     string // of the file, without .sql
	sql      string
	checksum string // SHA-256 of sql, in hexadecimal
}

// migrations returns the program's migrations by version, which count from 1.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	out := make([]migration, 0, len(names))
	for i, file := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %04d", name, i+1)
		}
		sql, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(sql)
		out = append(out, migration{version, name, string(sql), hex.EncodeToString(sum[:])})
	}
	return out, nil
}

// Migrate brings the database to this program's schema and returns the names
// of the migrations that it applied. Each is one transaction. Concurrent calls
// wait for each other. It returns ErrChecksum when an applied migration was
// changed since. Migrations that only the database knows are left alone: a
// later program has been there.
func Migrate(ctx context.Context, url string) (applied []string, err error) {
	return migrate(ctx, url, migrationFiles)
}

func migrate(ctx context.Context, url string, files fs.FS) (applied []string, err error) {
	wanted, err := migrations(files)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("migrate gold: %w", err)
	}
	// The end of the session gives the lock back.
	defer func() { _ = conn.Close(ctx) }()
	stored, err := prepareMigrations(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("migrate gold: %w", err)
	}
	for _, m := range wanted {
		switch checksum, ok := stored[m.version]; {
		case ok && checksum != m.checksum:
			return applied, fmt.Errorf("migration %s: %w", m.name, ErrChecksum)
		case ok:
			continue
		}
		if err := m.apply(ctx, conn); err != nil {
			return applied, fmt.Errorf("migration %s: %w", m.name, err)
		}
		applied = append(applied, m.name)
	}
	return applied, nil
}

const migrationTable = `
CREATE SCHEMA IF NOT EXISTS gold;
CREATE TABLE IF NOT EXISTS gold.schema_migrations (
	version    integer PRIMARY KEY,
	name       text NOT NULL,
	checksum   text NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now()
)`

// prepareMigrations takes the migration lock for the session, makes the table
// of migrations if there is none and returns the checksums in it by version.
func prepareMigrations(ctx context.Context, conn *pgx.Conn) (map[int]string, error) {
	_, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended('gold.schema_migrations', 0))")
	if err != nil {
		return nil, fmt.Errorf("wait for the migration lock: %w", err)
	}
	exists, err := hasMigrationTable(ctx, conn)
	if err != nil {
		return nil, err
	}
	if !exists {
		if _, err := conn.PgConn().Exec(ctx, migrationTable).ReadAll(); err != nil {
			return nil, err
		}
	}
	rows, err := conn.Query(ctx, "SELECT version, checksum FROM gold.schema_migrations")
	if err != nil {
		return nil, err
	}
	stored := make(map[int]string)
	var (
		version  int
		checksum string
	)
	_, err = pgx.ForEachRow(rows, []any{&version, &checksum}, func() error {
		stored[version] = checksum
		return nil
	})
	return stored, err
}

// querier is what a connection, a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func hasMigrationTable(ctx context.Context, q querier) (exists bool, err error) {
	err = q.QueryRow(ctx, "SELECT to_regclass('gold.schema_migrations') IS NOT NULL").Scan(&exists)
	return exists, err
}

// apply runs the migration and records it in one transaction.
func (m migration) apply(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// The simple protocol takes a file of many statements.
		if _, err := tx.Conn().PgConn().Exec(ctx, m.sql).ReadAll(); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO gold.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
			m.version, m.name, m.checksum)
		return err
	})
}

// SchemaVersion returns the number of the latest migration of this program.
func SchemaVersion() int {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil { // only for a malformed pattern
		return 0
	}
	return len(names)
}

// CheckSchema returns ErrNotMigrated when the database lacks a migration of
// this program. A later schema is fine.
func (s *Store) CheckSchema(ctx context.Context) error {
	exists, err := hasMigrationTable(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("check the schema: %w", err)
	}
	if !exists {
		return ErrNotMigrated
	}
	var applied int
	const count = "SELECT count(*) FROM gold.schema_migrations WHERE version <= $1"
	if err := s.pool.QueryRow(ctx, count, SchemaVersion()).Scan(&applied); err != nil {
		return fmt.Errorf("check the schema: %w", missingTable(err))
	}
	if applied < SchemaVersion() {
		return fmt.Errorf("%d of %d migrations are applied: %w", applied, SchemaVersion(), ErrNotMigrated)
	}
	return nil
}

// missingTable adds ErrNotMigrated to an error that says a table, a schema, a
// column or a function is missing.
func missingTable(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok && slices.Contains([]string{"42P01", "3F000", "42703", "42883"}, pg.Code) {
		return errors.Join(ErrNotMigrated, err)
	}
	return err
}
