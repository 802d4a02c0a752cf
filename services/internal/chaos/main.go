package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/energy-platform/energy/services/internal/rig"
)

// Main is the command: it runs the scenarios and returns the process's exit status.
func Main(ctx context.Context, args []string, out, errOut io.Writer) int {
	c, only, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(errOut, "chaos: %v\n", err)
		return 2
	}
	c.Logger = slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := runAll(ctx, c, only, out); err != nil {
		fmt.Fprintf(errOut, "chaos: %v\nrepeat with SEED=%d; logs and data are in %s\n", err, c.Seed, c.Dir)
		return 1
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		fmt.Fprintf(errOut, "chaos: %v\n", err)
		return 1
	}
	return 0
}

// parse returns the configuration, and the name of the scenario that is asked for, ""
// for all.
func parse(args []string, errOut io.Writer) (c Config, only string, err error) {
	c = Config{MemoryLimit: 1 << 30, Patience: time.Hour}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Uint64Var(&c.Seed, "seed", 0, "what happens and when; 0 chooses one, which is printed")
	flags.IntVar(&c.Readings, "readings", 1_000_000, "readings that the fleet takes")
	flags.IntVar(&c.Kills, "kills", 60, "SIGKILLs of services, of the broker and of Postgres")
	flags.IntVar(&c.Others, "others", 3, "how often each other fault happens")
	flags.Int64Var(&c.Disk, "disk", 8<<30,
		"bytes of the disk in memory under Postgres, which is made full (root only); 0: none")
	flags.BoolVar(&c.SyncAlways, "sync-always", false, "the broker syncs each message before it acknowledges it")
	flags.StringVar(&c.Dir, "dir", "", "folder for data and logs, which all users reach; a temporary one unless given")
	flags.StringVar(&only, "only", "", `one of "under fire", "two owners", "older tail", "outage"; all unless given`)
	if err := flags.Parse(args); err != nil {
		return c, only, err
	}
	if flags.NArg() > 0 {
		return c, only, fmt.Errorf("takes no arguments, got %q", flags.Args())
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64N(1_000_000) + 1
	}
	if c.Dir == "" {
		c.Dir, err = os.MkdirTemp("", "energy-chaos-")
	}
	if err == nil {
		err = errors.Join(makeDirs(c.Dir), os.Chmod(c.Dir, 0o755))
	}
	return c, only, err
}

// runAll runs, one after the other: everything but what loses acknowledged messages;
// two sets of services that own the same; a broker that is restored; a
// Postgres that is away for a minute.
func runAll(ctx context.Context, c Config, only string, out io.Writer) error {
	const part = 5 // the others are so much smaller
	c.Binaries = filepath.Join(c.Dir, "bin")
	if err := rig.Build(ctx, c.Binaries); err != nil {
		return err
	}
	for _, s := range []struct {
		name   string
		change func(*Config)
	}{
		{"under fire", func(*Config) {}},
		{"two owners", func(c *Config) {
			c.BothOwn, c.Readings, c.Kills, c.Others = true, c.Readings/part, c.Kills/part, c.Others/part
			c.Rate = max(c.Readings/60, 1000) // so that both are at work together for a minute
		}},
		{"older tail", func(c *Config) {
			c.OlderTails, c.Readings, c.Kills, c.Others = 3, c.Readings/part, c.Kills/part, c.Others/part
		}},
		{"outage", func(c *Config) {
			c.Outage, c.Rate, c.Kills, c.Others = time.Minute, max(c.Readings/100, 1000), 0, 0
		}},
	} {
		if only != "" && only != s.name {
			continue
		}
		one := c
		one.Dir = filepath.Join(c.Dir, s.name)
		s.change(&one)
		fmt.Fprintf(out, "%s, seed %d\n", s.name, one.Seed)
		report, err := Run(ctx, one)
		report.Write(out)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := os.RemoveAll(one.Dir); err != nil {
			return err
		}
	}
	return nil
}
