package generate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/energy-platform/energy/pkg/fleet"
)

const help = `Write what a simulated fleet of meters sends, and the true answer.

Meters send registers, interval energy, mean and instantaneous power, voltage and
temperature. Readings get lost, arrive late, twice, out of order, estimated first,
corrected or withdrawn; registers are reset, exchanged and roll over; rubbish is
sent between them. The same flags write the same content on every machine.

  readings.ndjson.gz          a reading a line, in the order of arrival: for energy publish
  rubbish.jsonl.gz            what arrived besides and cannot be read, a message a line
  deliveries.jsonl.gz         all of it as messages: {"content_type", "deliveries", "payload"},
                              or "payload_base64" where the payload is no text
  truth_windows.csv.gz        what counts in the end, by quarter-hour of UTC or as --window says
  truth_days.csv.gz           the same by local day of the entity's zone
  truth_quarantine.csv        what is refused, by stage and rule
  fleet.yaml                  the flags, the entities with their zones, the number of everything

Energy in the truth is what is consumed from a window's start to its end: what a
register advanced and the area under instantaneous power between two readings, and
what a reading covers, is shared among the windows that it lies over.`

const examples = `  # a small fleet: 100 series over 60 days
  energy generate --out fleet
  energy publish fleet/readings.ndjson.gz

  # 11.5 million readings
  energy generate --seed 1 --series 2000 --days 60 --out fleet

  # minute readings without any disturbance
  energy generate --series 50 --days 7 --cadence 1m --clean --out calm

  # much arrives late or twice, in protobuf messages of 1000
  energy generate --late 0.2 --duplicates 0.1 --format protobuf --batch 1000 --out storm

  # for a catalogue that declares rollover and reset of registers
  energy generate --rollover 100000 --reset-to-zero --resets 0.001 --rollovers 0.5 --out registers`

// flags are the settings of the command line.
type flags struct {
	config  fleet.Config
	options Options
	start   string
	format  string
	clean   bool
	quiet   bool
}

// Command returns the command "generate".
func Command() *cobra.Command {
	f := flags{config: fleet.Default()}
	c := &cobra.Command{
		Use:     "generate --out DIR",
		Short:   "Write readings of a simulated fleet of meters, and the true answer",
		Long:    help,
		Example: examples,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			c.SilenceUsage = true // from here on it is not about the usage
			return f.run(c)
		},
	}
	f.add(c.Flags())
	return c
}

func (f *flags) add(fs *pflag.FlagSet) {
	c := &f.config
	fs.StringVarP(&f.options.Out, "out", "o", "", "folder to write to; it is made")
	fs.BoolVar(&f.options.Force, "force", false, "overwrite the files of an earlier run")
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "what chance draws from")
	fs.IntVar(&c.Series, "series", c.Series, "number of series")
	fs.StringVar(&f.start, "start", c.Start.Format(time.DateOnly), "first day, or an RFC 3339 time")
	fs.IntVar(&c.Days, "days", c.Days, "number of days of 24 hours")
	fs.DurationVar(&c.Cadence, "cadence", c.Cadence, "distance of the readings of a series")
	fs.DurationVar(&c.Window, "window", c.Window, "window of the true answer beside days, a multiple of 15m")
	fs.StringSliceVar(&c.Zones, "zones", c.Zones, "zones of the entities, in turn")
	fs.StringVar(&f.format, "format", "json", "how messages are written: json or protobuf")
	fs.IntVar(&f.options.Batch, "batch", 500, "most readings a message")
	fs.BoolVar(&f.clean, "clean", false, "no disturbance but those that are given as flags")
	for _, s := range c.Shares.All() {
		fs.Float64Var(s.Value, s.Name, *s.Value, s.Help)
	}
	fs.Int64Var(&c.Registers.MaxRate, "max-rate", 0,
		"max_rate of the catalogue's registers in units an hour; 0 is that of the built-in catalogue")
	fs.Int64Var(&c.Registers.Rollover, "rollover", 0, "rollover of the catalogue's registers; 0 is none")
	fs.BoolVar(&c.Registers.ResetToZero, "reset-to-zero", false, "the catalogue's registers are declared with reset: zero")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print errors only")
}

// run is the command.
func (f *flags) run(c *cobra.Command) error {
	made, err := f.fleet(c.Flags())
	if err != nil {
		return err
	}
	var done atomic.Int64
	f.options.Progress = &done
	var stop func()
	if f.quiet {
		stop = func() {}
	} else {
		stop = show(c.ErrOrStderr(), &done, passes*made.Slots())
	}
	began := time.Now()
	totals, err := Run(c.Context(), made, f.options)
	stop()
	if err != nil || f.quiet {
		return err
	}
	fmt.Fprint(c.OutOrStdout(), f.summary(made, &totals, time.Since(began)))
	return nil
}

// fleet makes the fleet that the flags tell.
func (f *flags) fleet(fs *pflag.FlagSet) (*fleet.Fleet, error) {
	var faults []error
	var err error
	if f.options.Out == "" {
		faults = append(faults, errors.New("out: name the folder to write to with --out DIR"))
	}
	if f.options.Format, err = ParseFormat(f.format); err != nil {
		faults = append(faults, err)
	}
	if f.options.Batch < 1 {
		faults = append(faults, fmt.Errorf("batch: %d is not positive", f.options.Batch))
	}
	if f.config.Start, err = parseStart(f.start); err != nil {
		faults = append(faults, err)
	} else if end := f.config.Start.AddDate(0, 0, f.config.Days); end.After(time.Now()) {
		faults = append(faults, fmt.Errorf("start: %d days from %s end at %s, which is yet to come, "+
			"and the platform refuses readings from the future; start earlier or take fewer days",
			f.config.Days, f.start, end.UTC().Format(time.DateOnly)))
	}
	for _, s := range f.config.Shares.All() {
		if f.clean && !fs.Changed(s.Name) {
			*s.Value = 0
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return fleet.New(f.config)
}

// parseStart reads a date, whose midnight in UTC is meant, or a time.
func parseStart(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("start: %q is neither a date such as 2025-03-01 nor a time such as 2025-03-01T00:00:00Z", text)
	}
	return t.UTC(), nil
}

// summary tells what was written and what to do with it.
func (f *flags) summary(made *fleet.Fleet, t *fleet.Totals, took time.Duration) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d deliveries of %d series of %d entities in %s, %.0f/s\n", t.Deliveries, len(made.Series()),
		len(made.Entities()), took.Round(time.Millisecond), float64(t.Deliveries)/took.Seconds())
	fmt.Fprintf(&s, "%d readings count in the end; %d contents, %d duplicates, %d lost, %d withdrawn, %d malformed\n",
		t.Winners, t.Versions, t.Sent[fleet.Duplicate], t.Gaps, t.Withdrawn, t.Sent[fleet.Malformed])
	fmt.Fprintf(&s, "next: energy publish %s\n", filepath.Join(f.options.Out, readingsFile))
	return s.String()
}

// show draws progress if w is a terminal, until the function that it returns is
// called.
func show(w io.Writer, done *atomic.Int64, total int64) (stop func()) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() {}
	}
	bar := progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetDescription("generating"), progressbar.OptionSetWidth(24))
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				_ = bar.Exit() // a bar that cannot be drawn is no reason to fail
				fmt.Fprintln(w)
				return
			case <-ticker.C:
				_ = bar.Set64(min(done.Load(), total-1))
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
