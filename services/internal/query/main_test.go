package query

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
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

// epochsOf is a catalogue of that epoch alone.
func epochsOf(tb testing.TB, c *catalog.Catalog) func() catalog.Epochs {
	tb.Helper()
	epochs, err := catalog.Epochs{}.Append(time.Unix(0, 0), []byte(c.Document()))
	if err != nil {
		tb.Fatal(err)
	}
	return func() catalog.Epochs { return epochs }
}
