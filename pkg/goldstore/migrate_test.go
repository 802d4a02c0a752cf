package goldstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/gold"
)

// embeddedFiles returns a copy of the program's migrations to change.
func embeddedFiles(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(migrationFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	embedded, err := migrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	names := column(embedded, func(m *migration) string { return m.name })

	t.Run("AppliesEachMigrationOnceWhateverTheConcurrency", func(t *testing.T) {
		t.Parallel()
		url := databaseWithoutSchema(t)
		s := openURL(t, url, Config{})
		if err := s.CheckSchema(t.Context()); !errors.Is(err, ErrNotMigrated) {
			t.Errorf("schema of an empty database: %v", err)
		}
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			applied []string
		)
		for range 4 {
			wg.Go(func() {
				a, err := Migrate(t.Context(), url)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, a...)
			})
		}
		wg.Wait()
		if diff := cmp.Diff(names, applied); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		if err := s.CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
		if again, err := Migrate(t.Context(), url); err != nil || len(again) != 0 {
			t.Errorf("second time: %v, %v", again, err)
		}
	})
	t.Run("RefusesAChangedMigration", func(t *testing.T) {
		t.Parallel()
		files := embeddedFiles(t)
		files["migrations/"+names[1]+".sql"].Data = []byte("SELECT 1")
		if _, err := migrate(t.Context(), database(t), files); !errors.Is(err, ErrChecksum) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("RefusesAGapInTheNumbers", func(t *testing.T) {
		t.Parallel()
		files := fstest.MapFS{"migrations/0002_late.sql": {Data: []byte("SELECT 1")}}
		if _, err := migrate(t.Context(), "", files); err == nil {
			t.Error("no error")
		}
	})
	t.Run("LeavesNothingOfAFailedMigration", func(t *testing.T) {
		t.Parallel()
		url := databaseWithoutSchema(t)
		files := fstest.MapFS{
			"migrations/0001_good.sql": {Data: []byte("CREATE TABLE gold.a (i int); CREATE TABLE gold.b (i int)")},
			"migrations/0002_bad.sql":  {Data: []byte("CREATE TABLE gold.c (i int); SELECT 1/0")},
		}
		applied, err := migrate(t.Context(), url, files)
		if err == nil || !slices.Equal(applied, []string{"0001_good"}) {
			t.Errorf("applied %v, %v", applied, err)
		}
		s := openURL(t, url, Config{})
		if n := number(t, s, "SELECT count(*) FROM pg_tables WHERE schemaname = 'gold'"); n != 3 {
			t.Errorf("%d tables", n)
		}
		if err := s.CheckSchema(t.Context()); !errors.Is(err, ErrNotMigrated) {
			t.Errorf("schema that lacks migrations: %v", err)
		}
	})
	t.Run("GivesWeeksThatExistTheirParts", func(t *testing.T) {
		t.Parallel()
		url, files := databaseWithoutSchema(t), embeddedFiles(t)
		for name := range files {
			if name >= "migrations/0009" {
				delete(files, name)
			}
		}
		if _, err := migrate(t.Context(), url, files); err != nil {
			t.Fatal(err)
		}
		s := openURL(t, url, Config{})
		exec(t, s, ensureWeek, time.Unix(0, monday(sunday)))
		exec(t, s, ensureWeek, time.Date(2020, 12, 28, 0, 0, 0, 0, time.UTC)) // of ISO year 2020, week 53
		if _, err := Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		if n := number(t, s, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'gold.parts'::regclass`); n != 2 {
			t.Errorf("%d weeks of parts, want 2", n)
		}
		flush(t, s.NewWriter(0, defaultCatalog(t, 1), WriterConfig{}), Flush{
			Groups: groups(defaultCatalog(t, 1), register, everySecond()...),
		})
	})
	t.Run("GivesMetricsTheWindowsOfTheirRows", func(t *testing.T) {
		t.Parallel()
		url := database(t)
		s, c := openURL(t, url, Config{}), defaultCatalog(t, 1)
		two := groups(c, register, version(0, 1, 1), version(time.Hour, 1, 1))
		flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: two})
		exec(t, s, "DROP TABLE gold.base_windows")
		exec(t, s, "DELETE FROM gold.schema_migrations WHERE version = 16")
		if applied, err := Migrate(t.Context(), url); err != nil || len(applied) != 1 {
			t.Fatalf("applied %v, %v", applied, err)
		}
		if n := number(t, s, "SELECT width FROM gold.base_windows WHERE metric = $1", register.Metric); n != 15*60 {
			t.Errorf("width %d s", n)
		}
	})
	t.Run("LeavesALaterSchemaAlone", func(t *testing.T) {
		t.Parallel()
		url := database(t)
		s := openURL(t, url, Config{})
		exec(t, s, "INSERT INTO gold.schema_migrations (version, name, checksum) VALUES (9999, 'later', '')")
		if applied, err := Migrate(t.Context(), url); err != nil || len(applied) != 0 {
			t.Errorf("applied %v, %v", applied, err)
		}
		if err := s.CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// asRole returns the URL of a session that acts as a role.
func asRole(t *testing.T, database, role string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestRoles(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	t.Run("AWriterFlushesAndMakesWeeks", func(t *testing.T) {
		t.Parallel()
		s := openURL(t, asRole(t, database(t), "gold_writer"), Config{})
		if err := s.CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
		p, err := s.LoadPosition(t.Context(), "gold", 0)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = s.ResetPosition(t.Context(), p, "SILVER", time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		result := flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{
			Move:   &PositionMove{Stage: "gold", Stream: "SILVER", Created: p.Created, To: 1},
			Groups: groups(c, register, version(0, 1, 1)),
			Feed:   func(int64, []gold.Change) (string, []byte, error) { return "gold.0", []byte("x"), nil },
		})
		if err := s.DeleteOutbox(t.Context(), []int64{result.Outbox[0].ID}); err != nil {
			t.Error(err)
		}
		if _, err := s.pool.Exec(t.Context(), "DELETE FROM gold.schema_migrations"); err == nil {
			t.Error("a writer may change the record of migrations")
		}
	})
	t.Run("AReaderReadsAndWritesNothing", func(t *testing.T) {
		t.Parallel()
		url := database(t)
		writer := openURL(t, asRole(t, url, "gold_writer"), Config{})
		if err := writer.RegisterEpoch(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		flush(t, writer.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, register, version(0, 1, 1))})
		s := openURL(t, asRole(t, url, "gold_reader"), Config{})
		for _, from := range []string{
			"gold.aggregates(NULL, NULL, NULL, NULL, '1 hour')", "gold.calendar_aggregates(NULL, NULL, NULL, NULL, 'day')",
			"gold.latest", "gold.series_metrics",
		} {
			if n := number(t, s, "SELECT count(*) FROM "+from); n != 1 {
				t.Errorf("%s has %d rows for a reader", from, n)
			}
		}
		if rows := content(t, s); len(rows) != 1 {
			t.Errorf("%d rows", len(rows))
		}
		for _, sql := range []string{
			"UPDATE gold.base SET count = 0", "DELETE FROM gold.outbox", "SELECT gold.ensure_week('2026-03-30Z')",
		} {
			if _, err := s.pool.Exec(t.Context(), sql); err == nil {
				t.Errorf("a reader may %s", sql)
			}
		}
	})
	t.Run("AnOwnerWithoutPowerOverRolesMigrates", func(t *testing.T) {
		t.Parallel()
		url := databaseWithoutSchema(t)
		admin := openURL(t, url, Config{})
		owner := fmt.Sprintf("owner_%d", time.Now().UnixNano())
		exec(t, admin, "CREATE ROLE "+owner)
		var name string
		if err := admin.pool.QueryRow(t.Context(), "SELECT quote_ident(current_database())").Scan(&name); err != nil {
			t.Fatal(err)
		}
		exec(t, admin, "GRANT CREATE ON DATABASE "+name+" TO "+owner)
		files := embeddedFiles(t)
		roles := files["migrations/0004_roles.sql"]
		roles.Data = bytes.ReplaceAll(roles.Data, []byte("gold_"), []byte(owner+"_")) // roles that are missing
		if _, err := migrate(t.Context(), asRole(t, url, owner), files); err != nil {
			t.Error(err)
		}
		s := openURL(t, asRole(t, url, owner), Config{})
		flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, register, version(0, 1, 1))})
		s.Close()
		exec(t, admin, "DROP OWNED BY "+owner)
		exec(t, admin, "DROP ROLE "+owner)
	})
}
