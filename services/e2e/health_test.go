package e2e_test

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestServicesSayHowTheyAre starts a service before its broker: it is down, and says
// for what it waits, until there is one that is provisioned. Neither a shell nor
// another program is needed to ask it.
func TestServicesSayHowTheyAre(t *testing.T) {
	t.Parallel()
	natsAddress, address := freeAddress(t), freeAddress(t)
	environment := []string{
		"ENERGY_NATS_URL=nats://" + natsAddress, "DATABASE_URL=" + database(t),
		"ENERGY_HTTP_LISTEN=" + address, "ENERGY_GRPC_LISTEN=" + freeAddress(t),
	}
	ingest := &process{name: "ingest", environment: environment}
	ingest.start(t)
	t.Cleanup(func() { ingest.stop(t) })

	run := func(name string, args ...string) (int, string) {
		t.Helper()
		p := &process{name: name, args: args, environment: environment}
		p.start(t)
		err := p.cmd.Wait()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return p.cmd.ProcessState.ExitCode(), p.output.String()
	}
	// The first answer may come before the service listens.
	if code, out := run("energy", "health", "--wait", "2s"); code != 1 || !strings.Contains(out, "setup") {
		t.Errorf("without a broker, energy health ends with %d:\n%s", code, out)
	}
	if code, out := run("ingest", "health"); code != 1 || !strings.Contains(out, "ingest is down\n  setup is down: ") {
		t.Errorf("without a broker, ingest health ends with %d:\n%s", code, out)
	}
	nats := &process{name: "nats-server", args: []string{
		"--jetstream", "--store_dir", t.TempDir(), "--addr", "127.0.0.1", "--port", natsAddress[len("127.0.0.1:"):],
	}}
	nats.start(t)
	t.Cleanup(func() {
		if err := nats.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		_ = nats.cmd.Wait() // it exits with the signal's status
	})
	if code, out := run("energy", "migrate"); code != 0 {
		t.Fatalf("energy migrate ends with %d:\n%s", code, out)
	}
	if code, out := run("energy", "health", "--wait", "1m"); code != 0 {
		t.Errorf("energy health ends with %d:\n%s", code, out)
	}
	if code, out := run("ingest", "health"); code != 0 || !strings.Contains(out, "ingest is ok\n") {
		t.Errorf("ingest health ends with %d:\n%s", code, out)
	}
}
