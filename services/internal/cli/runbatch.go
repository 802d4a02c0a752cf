package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/app"
	"github.com/energy-platform/energy/services/internal/ask"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/replay"
)

// runBatchFlags is what `energy run-batch` was called with.
type runBatchFlags struct {
	data, zone             string
	receivedFrom, received string
	from, to               string
	format                 string
	json                   bool
	config                 batch.Config
}

func runBatchCommand(environment map[string]string) *cobra.Command {
	var f runBatchFlags
	c := &cobra.Command{
		Use:   "run-batch",
		Short: "Replay what a stream holds into gold",
		Long: `run-batch reads a part of what a stream holds again, READINGS unless --layer says
another, and brings what it gives into gold by the same functions as the services.
Merging changes nothing where gold has it already, so it is safe beside live
traffic, and again. Into another database, which DATABASE_URL names and energy
migrate has made, it brings all of gold, byte for byte.

--plan prints which windows would change, and by how much, and writes nothing.
--rebuild also takes out, in the selected series and times, the versions of readings
in the replayed range that the replay does not give any more.

Every run has a record: energy batches lists them. One that was stopped or killed
is gone on with by --resume ID. While live readings are more than --max-lag behind
it waits for them.

--format json prints an object a line: of a plan {"change": …} for each window, and of
every run at last {"batch": …}.

` + placesUsage,
		Example: `  energy run-batch --plan
  energy run-batch --plan --format json
  energy run-batch --entity meter-1 --from 2026-03-01 --to 2026-04-01
  energy run-batch --rebuild --received-from 2026-03-28T06:00:00Z
  DATABASE_URL=postgres://energy@db/second energy run-batch`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.parse(c); err != nil {
				return usageError{err}
			}
			return withPlaces(c, environment, f.data, func(js jetstream.JetStream, store *goldstore.Store) error {
				f.config.JetStream, f.config.Store = js, store
				return f.run(c)
			})
		},
	}
	f.add(c)
	return c
}

func (f *runBatchFlags) add(c *cobra.Command) {
	flags, s := c.Flags(), &f.config.Job.Selection
	flags.StringVar(&f.data, "data", defaultData, dataUsage)
	flags.StringVar(&f.config.Job.Layer, "layer", replay.Readings.String(), "what to replay: readings, bronze or silver")
	flags.StringVar(&f.receivedFrom, "received-from", "", "first time at which readings were received")
	flags.StringVar(&f.received, "received-to", "", "end of these times")
	flags.Uint64Var(&s.FirstSequence, "first-sequence", 0, "first message of the stream")
	flags.Uint64Var(&s.LastSequence, "last-sequence", 0, "last message of the stream (default its end)")
	flags.StringVar(&f.from, "from", "", "first time that readings are about")
	flags.StringVar(&f.to, "to", "", "end of these times")
	flags.StringSliceVar(&s.Entities, "entity", nil, "entity ids; all when not given")
	flags.StringSliceVar(&s.Metrics, "metric", nil, "metrics; all when not given")
	flags.StringVar(&f.zone, "zone", "UTC", "IANA zone of times that are given without an offset")
	flags.BoolVar(&f.config.Plan, "plan", false, "print what would change, and write nothing")
	flags.BoolVar(&f.config.Job.Rebuild, "rebuild", false, "replace what the range gave before, instead of merging")
	flags.StringVar(&f.config.Resume, "resume", "", "id of a run to go on with; its selection is its own")
	flags.DurationVar(&f.config.MaxLag, "max-lag", 2*time.Second, "wait while live readings are further behind; 0: never")
	flags.StringVar(&f.format, "format", "text", "text or json")
	flags.StringVar(&f.config.Dir, "temp", "", tempUsage)
}

// parse reads the flags that are no values by themselves.
func (f *runBatchFlags) parse(c *cobra.Command) error {
	if _, err := replay.ParseLayer(f.config.Job.Layer); err != nil {
		return fmt.Errorf("--layer: %w", err)
	}
	var err error
	if f.json, err = textOrJSON(f.format); err != nil {
		return err
	}
	zone, err := ask.Zone(f.zone)
	if err != nil {
		return fmt.Errorf("--zone %w", err)
	}
	s := &f.config.Job.Selection
	for _, one := range []struct {
		flag, text string
		to         *int64
	}{
		{"received-from", f.receivedFrom, &s.ReceivedFrom}, {"received-to", f.received, &s.ReceivedTo},
		{"from", f.from, &s.EventFrom}, {"to", f.to, &s.EventTo},
	} {
		if one.text == "" {
			continue
		}
		t, err := ask.Time(one.text, zone)
		if err != nil {
			return fmt.Errorf("--%s %w", one.flag, err)
		}
		*one.to = t.UnixNano()
	}
	if f.config.Resume == "" {
		return nil
	}
	for _, name := range []string{
		"layer", "received-from", "received-to", "first-sequence", "last-sequence", "from", "to", "entity", "metric",
		"plan", "rebuild",
	} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--%s: the selection of a run that is resumed is its own; leave --%s or --resume", name, name)
		}
	}
	return nil
}

func (f *runBatchFlags) run(c *cobra.Command) error {
	errOut := c.ErrOrStderr()
	f.config.Logger = slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	f.config.CodeVersion = app.Version()
	meter := newBatchMeter(errOut)
	f.config.Progress = meter.tell
	out := &batchOutput{objects: objects{out: c.OutOrStdout()}, json: f.json}
	f.config.Changed = func(change *gold.Change) { meter.aside(func() { out.change(change) }) }
	record, err := batch.Run(c.Context(), f.config)
	meter.finish()
	if record.ID != "" {
		out.batch(&record)
	}
	if err != nil && record.ID != "" && batch.CanResume(err) {
		return fmt.Errorf("batch %s: %w; energy run-batch --resume %s goes on with it", record.ID, err, record.ID)
	}
	return errors.Join(err, out.err)
}
