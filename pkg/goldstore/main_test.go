package goldstore

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// A case of the property tests is a dozen transactions; -rapid.checks asks for
// more.
const rapidChecks = "40"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", rapidChecks); err != nil {
		panic(err)
	}
	code := pgtest.Run(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func migrated(ctx context.Context, url string) error {
	_, err := Migrate(ctx, url)
	return err
}

// database returns the URL of a new database with the schema.
func database(tb testing.TB) string {
	tb.Helper()
	return pgtest.Database(tb, "gold", migrated)
}

func openURL(tb testing.TB, url string, c Config) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), url, c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// open returns a store in a new database.
func open(tb testing.TB) *Store {
	tb.Helper()
	return openURL(tb, database(tb), Config{Application: "goldstore test"})
}

func exec(tb testing.TB, s *Store, sql string, args ...any) {
	tb.Helper()
	if _, err := s.pool.Exec(tb.Context(), sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// number returns the one number that a query answers.
func number(tb testing.TB, s *Store, sql string, args ...any) (n int64) {
	tb.Helper()
	if err := s.pool.QueryRow(tb.Context(), sql, args...).Scan(&n); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return n
}

// defaultCatalog returns the built-in catalogue as that epoch.
func defaultCatalog(tb testing.TB, epoch uint64) *catalog.Catalog {
	tb.Helper()
	c, err := catalog.Default()
	if err != nil {
		tb.Fatal(err)
	}
	if c, err = catalog.Parse(epoch, []byte(c.Document())); err != nil {
		tb.Fatal(err)
	}
	return c
}

// sunday is the last day of an ISO week, Unix ns.
var sunday = time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC).UnixNano()

var register = reading.Series{EntityID: "meter-1", Metric: "active_energy_import", Unit: "kWh"}

// version returns an accepted version that was received as the given message.
func version(at time.Duration, value float64, sequence uint64) gold.Version {
	t := sunday + int64(at)
	return gold.Version{
		Time: t, Value: value, Epoch: 1, Quality: reading.Actual,
		Stamp: reading.Stamp{Received: t + int64(time.Second), Sequence: sequence},
	}
}

// groups collects versions of one series.
func groups(c *catalog.Catalog, s reading.Series, versions ...gold.Version) []gold.Group {
	collector := gold.NewCollector(c)
	for _, v := range versions {
		collector.Add(s, v)
	}
	return collector.Take()
}

// flush fails the test when the flush fails.
func flush(tb testing.TB, w *Writer, f Flush) Result {
	tb.Helper()
	result, err := w.Flush(tb.Context(), f)
	if err != nil {
		tb.Fatal(err)
	}
	return result
}

// content returns the rows of gold.content in key order as text: floats in it
// have all their digits.
func content(tb interface {
	Helper()
	Fatal(...any)
}, s *Store) []string {
	tb.Helper()
	const sql = `SELECT coalesce(array_agg(c::text ORDER BY entity, metric, unit, start, width), '{}') FROM gold.content c`
	var rows []string
	if err := s.pool.QueryRow(context.Background(), sql).Scan(&rows); err != nil {
		tb.Fatal(err)
	}
	return rows
}

func databaseWithoutSchema(tb testing.TB) string {
	tb.Helper()
	return pgtest.Database(tb, "empty", nil)
}
