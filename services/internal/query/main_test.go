package query

import (
	"context"
	"flag"
	"os"
	"testing"

	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
)

// A case of the property test is a dozen transactions; -rapid.checks asks for
// more.
const rapidChecks = "20"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", rapidChecks); err != nil {
		panic(err)
	}
	os.Exit(pgtest.Run(m))
}

// database returns the URL of a new database with the schema.
func database(tb testing.TB) string {
	tb.Helper()
	return pgtest.Database(tb, "query", func(ctx context.Context, url string) error {
		_, err := goldstore.Migrate(ctx, url)
		return err
	})
}
