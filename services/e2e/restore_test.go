package e2e_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestGoldIsRestored dumps gold while the services run, publishes more, loses the
// database and restores it into a new one. The services read on from the positions in
// it, and gold is to the byte what it would have been.
func TestGoldIsRestored(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pg_dump", "pg_restore"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%v: it comes with Postgres' client", err)
		}
	}
	f := separate(t)
	files := parts(t, partRows, 2)
	if err := f.publish(t.Context(), files[:1], partBatch); err != nil {
		t.Fatal(err)
	}
	f.await(t, "gold to catch up", caughtUp)
	dump := filepath.Join(t.TempDir(), "gold.dump")
	postgres(t, "pg_dump", "--format=custom", "--file="+dump, f.databaseURL)

	if err := f.publish(t.Context(), files[1:], partBatch); err != nil {
		t.Fatal(err)
	}
	f.await(t, "gold to catch up", caughtUp)
	want := f.rows(t, "gold.content")

	f.services["gold-aggregator"].kill(t)
	f.services["query"].kill(t)
	wipe(t, f.databaseURL)
	postgres(t, "pg_restore", "--exit-on-error", "--dbname="+f.databaseURL, dump)
	f.services["gold-aggregator"].start(t)
	f.services["query"].start(t)
	f.await(t, "gold to catch up again", caughtUp)
	sameRows(t, "content", want, f.rows(t, "gold.content"))
}

// postgres runs a program that comes with the server.
func postgres(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// wipe removes all that a database holds of gold.
func wipe(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "DROP SCHEMA gold CASCADE"); err != nil {
		t.Fatal(err)
	}
}
