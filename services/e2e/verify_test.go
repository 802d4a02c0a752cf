package e2e_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	simulated "github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/services/internal/cli"
	"github.com/energy-platform/energy/services/internal/generate"
)

// tool runs the tool against the platform, or another database of it, and returns
// its status and what it wrote.
func (p *platform) tool(databaseURL string, args ...string) (status int, written string) {
	var out bytes.Buffer
	status = cli.Main(args, []string{"ENERGY_NATS_URL=" + p.natsURL, "DATABASE_URL=" + databaseURL},
		cli.Streams{Out: &out, Err: &out})
	return status, out.String()
}

// execSQL runs a statement in a database and returns how many rows it changed.
func execSQL(t *testing.T, url, sql string) int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tag, err := conn.Exec(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return tag.RowsAffected()
}

// someFleet publishes what a small simulated fleet sends, late, twice, corrected and
// malformed, shuffled, and returns how many readings that are.
func (p *platform) someFleet(t *testing.T) uint64 {
	t.Helper()
	c := fleetConfig()
	c.Series, c.Days = 24, 7
	f, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	totals, err := generate.Run(t.Context(), f, generate.Options{Out: dir, Format: generate.Protobuf, Batch: 100})
	if err != nil {
		t.Fatal(err)
	}
	p.deliver(t, filepath.Join(dir, "deliveries.jsonl.gz"))
	return totals.Deliveries
}

// verified fails the test unless gold in a database is what a layer gives.
func (p *platform) verified(t *testing.T, url, layer string) string {
	t.Helper()
	status, out := p.tool(url, "verify", "--layer", layer)
	if status != 0 || !strings.Contains(out, " rows compared, 0 differ") || strings.HasPrefix(out, "0 readings") {
		t.Fatalf("energy verify --layer %s ends with %d:\n%s", layer, status, out)
	}
	return out
}

// TestVerify holds gold against what the streams give, with catalogues applied
// beside traffic, and finds every kind of damage (invariant 21).
func TestVerify(t *testing.T) {
	t.Parallel()
	t.Run("AfterCataloguesWereAppliedBesideTraffic", func(t *testing.T) {
		t.Parallel()
		p := embedded(t)
		js := p.jetStream(t)
		p.apply(t, site)
		for hour := range 4 {
			publishReadings(t, js, siteReadings(siteStart.Add(time.Duration(hour)*time.Hour), 6))
			p.apply(t, []string{mended, site}[hour%2]) // while these are on their way
		}
		publishReadings(t, js, siteReadings(siteStart.Add(30*time.Minute), 6))
		p.await(t, "gold to catch up", caughtUp)
		for _, layer := range []string{"readings", "bronze", "silver"} {
			p.verified(t, p.databaseURL, layer)
		}
	})
	t.Run("FindsDamage", func(t *testing.T) {
		t.Parallel()
		p := embedded(t)
		p.someFleet(t)
		p.await(t, "gold to have the fleet", caughtUp)
		p.verified(t, p.databaseURL, "readings")
		const keep = `CREATE TABLE public.base AS TABLE gold.base; CREATE TABLE public.quarantine AS TABLE gold.quarantine`
		const mend = `DELETE FROM gold.base; INSERT INTO gold.base TABLE public.base;
			DELETE FROM gold.quarantine; INSERT INTO gold.quarantine TABLE public.quarantine`
		const rows = `(series_id, start) = (SELECT series_id, start FROM gold.base WHERE count = 1 ORDER BY start `
		const first, last = rows + "LIMIT 1)", rows + "DESC LIMIT 1)"
		execSQL(t, p.databaseURL, keep)
		for _, damage := range []struct{ name, sql, want string }{
			{"a statistic", "UPDATE gold.base SET sum = sum + 1 WHERE " + first, "differs in sum\n"},
			{"versions", `UPDATE gold.base SET samples = '\x0102' WHERE ` + first, "is damaged"},
			{"a stamp", "UPDATE gold.base SET stamps = (SELECT stamps FROM gold.base WHERE " + last + ") WHERE " + first, "differs in"},
			{"a row", "DELETE FROM gold.base WHERE " + first, "is missing, with 1 version"},
			{"a refusal", "DELETE FROM gold.quarantine WHERE ctid = (SELECT min(ctid) FROM gold.quarantine)", "neither in gold nor in"},
		} {
			if n := execSQL(t, p.databaseURL, damage.sql); n != 1 {
				t.Fatalf("%s: %d rows are damaged", damage.name, n)
			}
			status, out := p.tool(p.databaseURL, "verify")
			if status != 1 || !strings.Contains(out, damage.want) {
				t.Errorf("%s: verify ends with %d:\n%s", damage.name, status, out)
			}
			execSQL(t, p.databaseURL, mend)
		}
		p.verified(t, p.databaseURL, "readings")

		// What docs/batch.md says mends it.
		execSQL(t, p.databaseURL, "UPDATE gold.base SET sum = sum + 1 WHERE "+first)
		p.batch(t, p.databaseURL)
		if status, out := p.tool(p.databaseURL, "verify"); status != 1 {
			t.Errorf("a replay mends a statistic by itself, which docs/batch.md denies: %s", out)
		}
		execSQL(t, p.databaseURL, "UPDATE gold.base SET epoch = 0 WHERE "+first+`;
			UPDATE gold.base SET samples = '\x0102' WHERE `+last+"; DELETE FROM gold.base WHERE "+last+`;
			DELETE FROM gold.quarantine WHERE ctid = (SELECT min(ctid) FROM gold.quarantine)`)
		p.batch(t, p.databaseURL)
		p.verified(t, p.databaseURL, "readings")
	})
}
