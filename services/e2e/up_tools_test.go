package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// builtInCatalog is a file that energy catalog takes.
const builtInCatalog = "../../pkg/catalog/default.yaml"

// TestToolsFindWhatEnergyUpRuns reaches the private database of energy up by what
// its user knows: the folder.
func TestToolsFindWhatEnergyUpRuns(t *testing.T) {
	t.Parallel()
	dir := upFolder(t)
	for _, args := range [][]string{
		{"sql-url", "--data", dir}, {"psql", "--data", dir}, {"catalog", "apply", "--data", dir, builtInCatalog},
	} {
		_, errOut, status := tool(t, nil, args...)
		if status != 1 || !strings.Contains(errOut, "no private Postgres runs there") ||
			!strings.Contains(errOut, "start energy up") {
			t.Errorf("before the start energy %v ended with %d: %s", args, status, errOut)
		}
	}
	up := startUp(t, dir, "stop with      Ctrl-C")
	t.Cleanup(func() { up.end(t) })
	said := up.out.String()
	if want := "energy psql --data " + dir; !strings.Contains(said, want) {
		t.Errorf("energy up does not say %q:\n%s", want, said)
	}

	t.Run("SQLURL", func(t *testing.T) {
		t.Parallel()
		out, errOut, status := tool(t, nil, "sql-url", "--data", dir)
		if status != 0 {
			t.Fatal(errOut)
		}
		conn, err := pgx.Connect(t.Context(), strings.TrimSpace(out))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), "SELECT * FROM gold.latest"); err != nil {
			t.Error(err)
		}
	})
	t.Run("PSQL", func(t *testing.T) {
		t.Parallel()
		out, errOut, status := tool(t, []string{"PATH=" + os.Getenv("PATH")}, "psql", "--data", dir, "--",
			"-tAc", "SELECT count(*) FROM gold.latest")
		if status != 0 || strings.TrimSpace(out) != "0" {
			t.Errorf("status %d: %s%s", status, out, errOut)
		}
	})
	t.Run("Verify", func(t *testing.T) {
		t.Parallel()
		// The broker is the folder's, on whatever port, not another's that listens where most do.
		out, errOut, status := tool(t, nil, "verify", "--data", dir)
		if status != 0 || !strings.Contains(out, "0 rows compared, 0 differ") {
			t.Errorf("status %d: %s%s", status, out, errOut)
		}
	})
	t.Run("CatalogApply", func(t *testing.T) {
		t.Parallel()
		natsURL := regexp.MustCompile(`nats://\S+`).FindString(said)
		environment := []string{"ENERGY_NATS_URL=" + natsURL}
		document, errOut, status := tool(t, environment, "catalog", "show")
		if status != 0 {
			t.Fatal(errOut)
		}
		file := filepath.Join(t.TempDir(), "catalog.yaml")
		if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errOut, status := tool(t, environment, "catalog", "apply", "--data", dir, file)
		if status != 0 || !strings.Contains(out, "is in force already") {
			t.Errorf("status %d: %s%s", status, out, errOut)
		}
		// A broker of its own needs a database of its own.
		if _, errOut, status = tool(t, environment, "catalog", "apply", file); status != 2 ||
			!strings.Contains(errOut, "DATABASE_URL: is required") {
			t.Errorf("status %d: %s", status, errOut)
		}
	})
	t.Run("ASecondOneNamesTheFolderFirst", func(t *testing.T) {
		t.Parallel()
		_, errOut, status := tool(t, up.environment, up.args...)
		if status != 1 || !strings.Contains(errOut, "folder "+dir+" is in use by process") || strings.Contains(errOut, "listen") {
			t.Errorf("status %d: %s", status, errOut)
		}
	})
}

// TestUpNamesAllThatIsInItsWay at once, before anything starts.
func TestUpNamesAllThatIsInItsWay(t *testing.T) {
	t.Parallel()
	taken := make([]string, 4)
	for i := range taken {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		taken[i] = listener.Addr().String()
	}
	_, errOut, status := tool(t, []string{
		"ENERGY_HTTP_LISTEN=" + taken[0], "ENERGY_GRPC_LISTEN=" + taken[1], "ENERGY_LOG_LEVEL=loud", "ENERGY_LINGER=2h",
	}, "up", "--data", t.TempDir(), "--nats-listen", taken[2], "--mqtt-listen", taken[3], "--load", "nothing.csv")
	for _, want := range []string{
		"ENERGY_HTTP_LISTEN: listen tcp " + taken[0], "ENERGY_GRPC_LISTEN: listen tcp " + taken[1],
		"--nats-listen: listen tcp " + taken[2], "--mqtt-listen: listen tcp " + taken[3],
		"ENERGY_LOG_LEVEL: ", "DEBUG, INFO, WARN or ERROR", "ENERGY_LINGER 2h0m0s must be from 0s to 1m", "nothing.csv",
	} {
		if status != 2 || !strings.Contains(errOut, want) {
			t.Errorf("status %d does not say %q:\n%s", status, want, errOut)
		}
	}
}

// TestToolsDoNotWaitForServersThatAreNotThere but say what is missing; migrate,
// which may be started with them, says that it waits.
func TestToolsDoNotWaitForServersThatAreNotThere(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	nowhere := freeAddress(t)
	environment := []string{"ENERGY_NATS_URL=" + nowhere, "DATABASE_URL=" + p.databaseURL}
	withoutStore := []string{"ENERGY_NATS_URL=" + p.natsURL, "DATABASE_URL=postgres://energy:secret@" + nowhere + "/energy"}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	silentStore := []string{
		"ENERGY_NATS_URL=" + p.natsURL, "DATABASE_URL=postgres://energy:secret@" + silent.Addr().String() + "/energy",
	}
	for _, c := range []struct {
		environment []string
		args        string
		says        []string
	}{
		{environment, "catalog show", []string{"connect to nats://" + nowhere, "no servers available", "energy up", "ENERGY_NATS_URL"}},
		{environment, "catalog apply " + builtInCatalog, []string{"connect to nats://" + nowhere, "energy up"}},
		{withoutStore, "catalog apply " + builtInCatalog, []string{"DATABASE_URL", "connection refused", "does Postgres run there?"}},
		{environment, "migrate --timeout 1s", []string{
			"waiting for at most 1s, since NATS may start later (--timeout): connect to nats://" + nowhere + ": nats: no servers",
			"does a NATS server run there?"}},
		{silentStore, "migrate", []string{"DATABASE_URL", "does Postgres run there?"}},
		{withoutStore, "migrate", []string{"DATABASE_URL", "connection refused", "does Postgres run there?"}},
		{environment, "publish --server " + nowhere + " --timeout 1s " + householdFile + " --mapping " + householdMapping,
			[]string{"nats://" + nowhere}},
	} {
		began := time.Now()
		out, errOut, status := tool(t, c.environment, strings.Fields(c.args)...)
		for _, want := range c.says {
			if status != 1 || !strings.Contains(out+errOut, want) {
				t.Errorf("energy %s ended with %d and does not say %q:\n%s%s", c.args, status, want, out, errOut)
			}
		}
		if took := time.Since(began); took > 15*time.Second || strings.Contains(errOut, "secret") {
			t.Errorf("energy %s took %s: %s", c.args, took, errOut)
		}
	}
}
