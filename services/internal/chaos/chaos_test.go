package chaos_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/energy-platform/energy/services/internal/chaos"
	"github.com/energy-platform/energy/services/internal/rig"
)

// seedVariable repeats a run.
const seedVariable = "ENERGY_CHAOS_SEED"

// scratch is what the tests share: a folder that all users reach, for Postgres refuses root.
var scratch = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "energy-chaos-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := scratch(); err == nil && status == 0 {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

func seed(t *testing.T) uint64 {
	t.Helper()
	if text := os.Getenv(seedVariable); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return rand.Uint64N(1_000_000)
}

// run runs the platform under fire and reports what happened.
func run(t *testing.T, change func(*chaos.Config)) *chaos.Report {
	t.Helper()
	turns <- struct{}{}
	defer func() { <-turns }()
	dir, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	binaries := dir + "/bin"
	if err := build(t, binaries); err != nil {
		t.Fatal(err)
	}
	dir, err = os.MkdirTemp(dir, "run-") //nolint:usetesting // t.TempDir is closed to the user postgres
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := chaos.Config{
		Dir: dir, Binaries: binaries, Seed: seed(t), Readings: 60_000, Disk: 2 << 30, MemoryLimit: 400 << 20,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	change(&c)
	t.Logf("repeat with %s=%d", seedVariable, c.Seed)
	report, err := chaos.Run(t.Context(), c)
	report.Write(t.Output())
	if err != nil {
		t.Fatalf("%v\nlogs and data are in %s", err, dir)
	}
	return report
}

// turns lets two runs go on at once: each is a dozen processes.
var turns = make(chan struct{}, 2)

var built struct {
	once sync.Once
	err  error
}

func build(t *testing.T, dir string) error {
	t.Helper()
	built.once.Do(func() { built.err = rig.Build(t.Context(), dir) })
	return built.err
}

// TestUnderFire kills and troubles service processes, the broker and Postgres, and finds
// that nothing is lost and gold is the same (invariants 1, 3 and 4).
func TestUnderFire(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *chaos.Config) { c.Kills, c.Others = 20, 1 })
	kills := r.Done[chaos.KillService] + r.Done[chaos.KillBroker] + r.Done[chaos.KillPostgres]
	if kills != 20 || r.Done[chaos.KillBroker] == 0 || r.Done[chaos.KillPostgres] == 0 {
		t.Errorf("%d kills: %v", kills, r.Done)
	}
	if r.Refused == 0 || r.Quarantine == 0 {
		t.Errorf("%d publishes were refused for want of room, %d readings quarantined", r.Refused, r.Quarantine)
	}
}

// TestTwoOwners has two full sets of services own all partitions for the whole run, with a
// broker that syncs each message before it acknowledges it (invariant 3).
func TestTwoOwners(t *testing.T) {
	t.Parallel()
	run(t, func(c *chaos.Config) {
		c.Readings, c.Rate, c.Kills, c.BothOwn, c.SyncAlways = 30_000, 5000, 4, true, true
		c.Reference = chaos.Replay // the others are compared with a batch run
	})
}

// TestOlderTail restores the broker to an older state, twice, while services are at work.
func TestOlderTail(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *chaos.Config) { c.Readings, c.Kills, c.OlderTails = 30_000, 4, 2 })
	if r.Lost == 0 {
		t.Error("nothing was lost with the older tail")
	}
}

// TestPostgresAway stops Postgres for some seconds under load: readers are told, health
// says why, producers go on, everything catches up, and memory stays within its limit.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *chaos.Config) {
		c.Readings, c.Outage, c.Rate, c.MemoryLimit = 30_000, 3*time.Second, 5000, 300<<20
	})
	if r.Done[chaos.Outage] != 1 {
		t.Error("Postgres was not away")
	}
}
