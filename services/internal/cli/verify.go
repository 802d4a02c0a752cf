package cli

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/replay"
	"github.com/energy-platform/energy/services/internal/verify"
)

// placesUsage tells where a command finds the broker and the database.
const placesUsage = `The broker is at ENERGY_NATS_URL, the database at DATABASE_URL. With neither set
they are those of the energy up that runs on the folder --data; where only
ENERGY_NATS_URL is set, --data has to be given for that.`

// tempUsage describes the flag that names the folder of what a replay gathers.
const tempUsage = "folder for what is gathered, some 20 bytes a reading (default the system's)"

// toldRows bounds the differences that are printed.
const toldRows = 100

func verifyCommand(environment map[string]string) *cobra.Command {
	var data, layer, dir string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Recompute gold from a stream and compare the two, byte for byte",
		Long: `verify reads what a stream holds, READINGS unless --layer says another, computes
gold anew from it, without writing anything, and compares each row with the one in
the database: statistics, flags, epoch, versions and their stamps. Every reading
has to be in gold or in quarantine. It may run beside live traffic: rows and
positions are read in one snapshot, and readings that were on their way then may
be in gold or not.

It prints what differs, and ends with status 1 if anything does. Rows whose readings
the stream holds no more are counted as unverifiable.

` + placesUsage,
		Example: "  energy verify\n  energy verify --layer silver",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := replay.ParseLayer(layer)
			if err != nil {
				return usageError{fmt.Errorf("--layer: %w", err)}
			}
			return withPlaces(c, environment, data, func(js jetstream.JetStream, store *goldstore.Store) error {
				return runVerify(c, verify.Config{JetStream: js, Store: store, Layer: from, Dir: dir})
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&data, "data", defaultData, dataUsage)
	flags.StringVar(&layer, "layer", replay.Readings.String(), "what to recompute from: readings, bronze or silver")
	flags.StringVar(&dir, "temp", "", tempUsage)
	return c
}

func runVerify(c *cobra.Command, v verify.Config) error {
	out := c.OutOrStdout()
	told := 0
	tell := func(line string) {
		if told++; told <= toldRows {
			fmt.Fprintln(out, line)
		}
	}
	v.Logger = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	v.Differs = func(d *verify.Difference) { tell("differs  " + d.String()) }
	v.Lost = func(r *goldstore.QuarantineRow) {
		tell(fmt.Sprintf("lost     %s %s of %s %s, message %d of %s, received %s: it is neither in gold nor in quarantine",
			r.Stage, r.Rule, r.Reading.EntityID, r.Reading.Metric, r.Stamp.Sequence, streamOf(r.Stamp.Stream),
			time.Unix(0, r.Stamp.Received).UTC().Format(time.RFC3339Nano)))
	}
	report, err := verify.Run(c.Context(), v)
	if err != nil {
		return err
	}
	if told > toldRows {
		fmt.Fprintf(out, "… and %d more\n", told-toldRows)
	}
	printVerified(out, &report)
	if !report.OK() {
		return fmt.Errorf("gold is not what %s gives: %d rows differ, %d refused readings are lost",
			report.Layer, report.Differences, report.Lost)
	}
	return nil
}

func printVerified(out io.Writer, r *verify.Report) {
	fmt.Fprintf(out, "%d readings of %s, catalogue epoch %d\n", r.Readings, r.Layer, r.Epoch)
	fmt.Fprintf(out, "%d rows compared, %d differ\n", r.Rows, r.Differences)
	fmt.Fprintf(out, "%d refused readings looked up, %d lost\n", r.Refused, r.Lost)
	if r.Uncovered {
		fmt.Fprintln(out, "no position and no batch of all readings tells what this database must hold: "+
			"only what it does hold was checked")
	}
	for _, one := range []struct {
		n    uint64
		what string
	}{
		{r.Pending, "versions may still be on their way"},
		{r.Unsettled, "versions of metrics whose rules changed are not settled: apply the catalogue, then verify again"},
		{r.Behind, "rows are to be computed anew under the newest epoch: apply the catalogue, then verify again"},
		{r.Unverifiable, "rows are unverifiable in part: " + r.Layer.String() + " holds some of their readings no more"},
	} {
		if one.n > 0 {
			fmt.Fprintf(out, "%d %s\n", one.n, one.what)
		}
	}
}
