// Package bench measures how fast readings that stand in READINGS come into Postgres:
// the services as processes of their own, against the floor, the least that any program
// would have to do (see floor.go), on the same machine in the same hour.
//
// Runs alternate. Each has a broker and a database of its own, both empty; services are
// up and idle while the workload is stored; the clock runs from the moment that ingest
// is let go until the last reading is in Postgres.
//
// What it prints are medians, and in parentheses the least and the greatest. Processor
// seconds are those of all threads, per million readings, scaled to one speed of the
// processor (see speed.go). They are exact to 10 ms a process, and the broker's include
// what it takes to store the layers.
package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/localpg"
	"github.com/energy-platform/energy/services/internal/rig"
)

// config is what the command is told.
type config struct {
	only  string
	runs  int
	scale float64
	dir   string
	// profiles is a folder for what pprof reads.
	profiles string
}

// Main is the command; it returns the process's exit status.
func Main(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var err error
	if len(args) > 0 && args[0] == "floor" {
		err = mainFloor(ctx, args[1:], in, out, errOut)
	} else {
		err = mainBench(ctx, args, out, errOut)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(errOut, "bench: %v\n", err)
		return 1
	}
	return 0
}

func mainFloor(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("bench floor", flag.ContinueOnError)
	flags.SetOutput(errOut)
	var f Floor
	flags.StringVar(&f.NATSURL, "nats", "", "URL of the broker")
	flags.StringVar(&f.DatabaseURL, "database", "", "URL of the database")
	flags.DurationVar(&f.Window, "window", time.Minute, "width of the windows, in whole seconds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return f.Run(ctx, in, out)
}

func mainBench(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	var c config
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&c.only, "only", "", "names of workloads, separated by commas; all unless given")
	flags.IntVar(&c.runs, "runs", 5, "runs of each workload and program")
	flags.Float64Var(&c.scale, "scale", 1, "of the number of readings")
	flags.StringVar(&c.dir, "dir", "", "folder for data, which all users reach; a temporary one unless given")
	flags.StringVar(&c.profiles, "profiles", "",
		"folder for profiles of the services, of each workload's last run; they cost a little")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "energy-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	}
	if err := os.Chmod(c.dir, 0o755); err != nil {
		return err
	}
	return c.run(ctx, out)
}

func (c *config) run(ctx context.Context, out io.Writer) (err error) {
	binaries := filepath.Join(c.dir, "bin")
	if err := rig.Build(ctx, binaries); err != nil {
		return err
	}
	pg, err := localpg.Start(ctx, localpg.Options{Dir: filepath.Join(c.dir, "postgres"), Durable: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.Stop(context.WithoutCancel(ctx))) }()
	meter := meter{binaries: binaries, dir: filepath.Join(c.dir, "run"), postgres: pg, profiles: c.profiles}
	for i := range workloads {
		w := workloads[i]
		if c.only != "" && !slices.Contains(strings.Split(c.only, ","), w.Name) {
			continue
		}
		w.Readings = max(int(float64(w.Readings)*c.scale)/w.Batch, 1) * w.Batch
		var platform, floor []measured
		for range c.runs {
			m, err := meter.measure(ctx, &w, func(r *run) subject { return &services{run: r} })
			if err != nil {
				return err
			}
			platform = append(platform, m)
			if !w.Floor {
				continue
			}
			m, err = meter.measure(ctx, &w, func(r *run) subject { return &bare{run: r} })
			if err != nil {
				return err
			}
			floor = append(floor, m)
		}
		report(out, &w, platform, floor)
	}
	return nil
}

// report prints what runs took.
func report(out io.Writer, w *Workload, platform, floor []measured) {
	fmt.Fprintf(out, "%s  %s: %d readings, %d runs\n", w.Name, w.Title, w.Readings, len(platform))
	speed := platform[0].speed
	line := func(name string, runs []measured) {
		million := func(of func(*measured) time.Duration) string {
			return spread(runs, "%.2f", func(m *measured) float64 { return perMillion(of(m), w.Readings) * m.speed / speed })
		}
		perReading := func(of func(*measured) int64) string {
			return spread(runs, "%.0f", func(m *measured) float64 { return float64(of(m)) / float64(w.Readings) })
		}
		fmt.Fprintf(out, "  %-9s %s readings/s; CPU s per million: services %s, broker %s, Postgres %s; MiB at most %s; "+
			"bytes a reading: streams %s, WAL %s\n", name,
			spread(runs, "%.0f", func(m *measured) float64 { return float64(w.Readings) / m.wall.Seconds() }),
			million(func(m *measured) time.Duration { return m.services.CPU }),
			million(func(m *measured) time.Duration { return m.broker.CPU }),
			million(func(m *measured) time.Duration { return m.postgres.CPU }),
			spread(runs, "%.0f", func(m *measured) float64 { return float64(m.services.Peak >> 20) }),
			perReading(func(m *measured) int64 { return m.broker.Written }),
			perReading(func(m *measured) int64 { return m.wal }))
	}
	line("platform", platform)
	if len(floor) == 0 {
		return
	}
	line("floor", floor)
	ratios := make([]measured, len(floor))
	for i := range floor {
		ratios[i] = measured{speed: platform[i].wall.Seconds() / floor[i].wall.Seconds()}
	}
	fmt.Fprintf(out, "  the platform takes %s times the floor's time\n",
		spread(ratios, "%.2f", func(m *measured) float64 { return m.speed }))
}

// spread prints the median of runs, the least and the greatest.
func spread(runs []measured, format string, of func(*measured) float64) string {
	values := make([]float64, len(runs))
	for i := range runs {
		values[i] = of(&runs[i])
	}
	slices.Sort(values)
	n := len(values)
	median := (values[(n-1)/2] + values[n/2]) / 2
	if n == 1 {
		return fmt.Sprintf(format, median)
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median, values[0], values[n-1])
}
