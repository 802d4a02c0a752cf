package publish

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/telemetry"
)

const help = `Publish the readings of files and wait until every one is acknowledged.

A file is CSV or Parquet, with a metric a column (wide) or a reading a row (long),
or NDJSON; "-" is standard input, a gzip and Parquet are recognised. What the
columns mean is told by a mapping file, by flags, or by both: a flag wins over the
file. Parquet is read from its end and so not from a pipe.

A bad row is left out and reported with file, line (or row), column and what mends
it; the exit status is then 1, although the good rows are published. Publishing a file
again is safe: what is stored already does not count twice.`

const examples = `  # CSV, one metric a column
  energy publish docs/data/household_power_consumption.txt.gz --mapping docs/data/household.yaml

  # the mapping is a YAML file such as
  #   delimiter: ";"
  #   absent: ["?", ""]                    # cells that say "no reading"
  #   time: {columns: [Date, Time], layout: "2/1/2006 15:04:05", zone: Europe/Paris}
  #   columns:
  #     - {column: Power, entity: house-1, metric: active_power_mean, unit: kW, length: 1m}

  # look at the first readings before publishing
  energy publish meters.csv --mapping meters.yaml --dry-run=5

  # CSV, one reading a row, told by flags
  energy publish meters.csv --time-column at --time-layout rfc3339 \
    --entity column:meter --metric active_energy_import --value kwh --unit kWh

  # CSV, one metric a column, told by flags
  energy publish house.csv --time-column at --time-layout "2006-01-02 15:04" --zone Europe/Paris \
    --column '{column: P, entity: house-1, metric: active_power, unit: kW}'

  # Parquet, whose timestamps say how they are written
  energy publish house.parquet --time-column at --time-layout timestamp \
    --column '{column: P, entity: house-1, metric: active_power, unit: kW}'

  # NDJSON, one object a line:
  #   {"entity_id":"m1","metric":"active_energy_import","time":"2026-01-31T12:00:00Z","value":12.5,"unit":"kWh"}
  energy publish readings.ndjson

  # standard input
  zcat *.ndjson.gz | energy publish - --server nats://broker:4222`

// flags are the settings of the command line.
type flags struct {
	telemetry         telemetry.Settings
	server, creds, ca string
	format            string
	options           Options
	shuffle           uint64
	dryRun            int
	quiet, trace      bool
	mapping           mappingFlags
}

// Command returns the command "publish". It reads ENERGY_NATS_URL and the variables of
// OpenTelemetry with getenv.
func Command(getenv func(key string) string) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:     "publish FILE...",
		Short:   "Publish readings from CSV, Parquet or NDJSON files",
		Long:    help,
		Example: examples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name the files to publish, or - for standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			c.SilenceUsage = true // from here on it is not about the usage
			// Not the flag's default: the help would print a password in it.
			if server := getenv("ENERGY_NATS_URL"); server != "" && !c.Flags().Changed("server") {
				f.server = server
			}
			var err error
			if f.telemetry, err = tracingSettings(getenv); err != nil {
				return err
			}
			return f.run(c, args)
		},
	}
	f.add(c.Flags())
	return c
}

func (f *flags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.server, "server", DefaultURL, "NATS servers, separated by commas; else ENERGY_NATS_URL if that is set")
	fs.StringVar(&f.creds, "creds", "", "file with the NATS user's credentials")
	fs.StringVar(&f.ca, "ca", "", "file with the certificate authority of the NATS servers")
	fs.StringVar(&f.options.Subject, "subject", DefaultSubject, "subject to publish on, below readings.")
	fs.StringVar(&f.format, "format", "json", "how messages are written: json or protobuf")
	fs.IntVar(&f.options.BatchSize, "batch-size", DefaultBatchSize, "readings a message; 1 publishes bare readings")
	fs.DurationVar(&f.options.Timeout, "timeout", DefaultTimeout, "how long a message may stay unacknowledged")
	fs.IntVar(&f.dryRun, "dry-run", 0, "print the first readings as NDJSON and publish nothing")
	fs.Lookup("dry-run").NoOptDefVal = "10"
	fs.BoolVar(&f.trace, "trace", false, "trace the readings through the platform, and print the trace's id; the\n"+
		"publishing itself is exported where OTEL_EXPORTER_OTLP_ENDPOINT says")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print errors only")
	fs.Uint64Var(&f.shuffle, "shuffle", 0, "publish in the random order of this seed (holds all readings in memory)")
	fs.Float64Var(&f.options.Duplicate, "duplicate", 0, "publish this fraction of the readings twice")
	f.mapping.add(fs)
}

// run is the command.
func (f *flags) run(c *cobra.Command, args []string) error {
	o, err := f.complete(c, args)
	if err != nil {
		return err
	}
	var receipt Receipt
	if f.dryRun > 0 {
		receipt, err = Preview(c.Context(), o, c.OutOrStdout(), f.dryRun)
	} else {
		receipt, err = f.publish(c.Context(), o, slog.New(slog.NewTextHandler(c.ErrOrStderr(),
			&slog.HandlerOptions{Level: slog.LevelWarn})))
		if receipt.Published > 0 && !f.quiet || err == nil && !f.quiet {
			fmt.Fprint(c.OutOrStdout(), receipt)
		}
	}
	for _, row := range receipt.BadRows {
		fmt.Fprintln(c.ErrOrStderr(), row)
	}
	more(c.ErrOrStderr(), receipt.Bad-int64(len(receipt.BadRows)))
	for _, doubt := range receipt.Doubts {
		fmt.Fprintln(c.ErrOrStderr(), doubt)
	}
	more(c.ErrOrStderr(), receipt.Doubtful-int64(len(receipt.Doubts)))
	return err
}

// more tells how many lines were not printed.
func more(w io.Writer, n int64) {
	if n > 0 {
		fmt.Fprintf(w, "… and %d more\n", n)
	}
}

// complete makes options of the flags.
func (f *flags) complete(c *cobra.Command, args []string) (Options, error) {
	o := f.options
	o.Files, o.Stdin, o.URL = args, c.InOrStdin(), f.server
	var err, formatErr error
	o.Mapping, err = f.mapping.complete(c.Flags())
	o.Format, formatErr = producer.ParseFormat(f.format)
	if f.creds != "" {
		o.NATS = append(o.NATS, nats.UserCredentials(f.creds))
	}
	if f.ca != "" {
		o.NATS = append(o.NATS, nats.RootCAs(f.ca))
	}
	if c.Flags().Changed("shuffle") {
		o.Shuffle = &f.shuffle
	}
	if c.Flags().Changed("dry-run") && f.dryRun < 1 {
		err = errors.Join(err, errors.New("dry-run must be at least 1"))
	}
	if !f.quiet {
		o.Progress = c.ErrOrStderr()
	}
	return o, errors.Join(err, formatErr)
}
