package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cluster is NATS servers that know of each other, of which none runs yet.
func cluster(t *testing.T, size int) (servers []*process, urls []string) {
	t.Helper()
	routes := make([]string, size)
	for i := range routes {
		routes[i] = "nats://" + freeAddress(t)
	}
	for i := range size {
		address := freeAddress(t)
		urls = append(urls, "nats://"+address)
		servers = append(servers, &process{name: "nats-server", args: []string{
			"--name", fmt.Sprintf("n%d", i), "--jetstream", "--store_dir", t.TempDir(),
			"--addr", "127.0.0.1", "--port", address[len("127.0.0.1:"):],
			"--cluster_name", "c", "--cluster", routes[i], "--routes", strings.Join(routes, ","),
		}})
	}
	return servers, urls
}

// runFor starts a server until the test ends.
func (p *process) runFor(t *testing.T) {
	t.Helper()
	p.start(t)
	t.Cleanup(func() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop %s: %v", p.name, err)
		}
		_ = p.cmd.Wait() // it exits with the signal's status
	})
}

// TestMigrateWaitsForACluster migrates when the first of three brokers is there alone,
// which nobody leads: it waits for the others, and says so.
func TestMigrateWaitsForACluster(t *testing.T) {
	t.Parallel()
	servers, urls := cluster(t, 3)
	servers[0].runFor(t)
	var told syncBuffer
	migrate := &process{
		name: "energy", args: []string{"migrate", "--partitions", "4", "--replicas", "3", "--timeout", patience.String()},
		environment: []string{"ENERGY_NATS_URL=" + strings.Join(urls, ","), "DATABASE_URL=" + database(t)},
	}
	migrate.startInto(t, &told)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !strings.Contains(told.String(), "until NATS has settled"); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("energy migrate does not wait:\n%s", told.String())
		}
	}
	servers[1].runFor(t)
	servers[2].runFor(t)
	if err := migrate.cmd.Wait(); err != nil {
		t.Fatalf("energy migrate ends with %v:\n%s", err, told.String())
	}
	if out := told.String(); !strings.Contains(out, "streams stand with 4 partitions") {
		t.Errorf("energy migrate wrote:\n%s", out)
	}
}
