package cli

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/replay"
	"github.com/energy-platform/energy/services/internal/verify"
)

// placesUsage tells where a command finds the broker and the database.
const placesUsage = `The broker is at ENERGY_NATS_URL, the database at DATABASE_URL. With neither set
they are those of the energy up that runs on the folder --data; where only
ENERGY_NATS_URL is set, --data has to be given for that.`

// tempUsage describes the flag that names the folder of what a replay gathers.
const tempUsage = "folder for what is gathered, some 20 bytes a reading (default the system's)"

// toldRows bounds the findings of a kind that are printed.
const toldRows = 100

func verifyCommand(environment map[string]string) *cobra.Command {
	var data, layer, dir, format string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Recompute gold from a stream and compare the two, byte for byte",
		Long: `verify reads what a stream holds, READINGS unless --layer says another, computes
gold anew from it, without writing anything, and compares each row with the one in
the database: statistics, flags, epoch, versions and their stamps. Every reading
has to be in gold or in quarantine. It may run beside live traffic: rows and
positions are read in one snapshot, and readings that were on their way then may
be in gold or not.

It prints what differs, and ends with status 1 if anything does. What it cannot check is
counted, and is no difference: what may be on its way, and rows whose readings the
stream holds no more, or this build fails over. Rows whose readings the stream lost,
since the broker came back without its tail, are printed too. --format json prints an
object a line: {"differs": …}, {"orphan": …}, {"lost": …}, and at last {"report": …}.

` + placesUsage,
		Example: "  energy verify\n  energy verify --layer silver",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := replay.ParseLayer(layer)
			if err != nil {
				return usageError{fmt.Errorf("--layer: %w", err)}
			}
			asJSON, err := textOrJSON(format)
			if err != nil {
				return usageError{err}
			}
			return withPlaces(c, environment, data, func(js jetstream.JetStream, store *goldstore.Store) error {
				return runVerify(c, verify.Config{JetStream: js, Store: store, Layer: from, Dir: dir}, asJSON)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&data, "data", defaultData, dataUsage)
	flags.StringVar(&layer, "layer", replay.Readings.String(), "what to recompute from: readings, bronze or silver")
	flags.StringVar(&dir, "temp", "", tempUsage)
	flags.StringVar(&format, "format", "text", "text or json")
	return c
}

// findings prints what verify finds, of each kind so many at most.
type findings struct {
	objects
	json bool
	told map[string]int
}

// tell prints a finding: as a line for people, or as an object.
func (f *findings) tell(kind, text string, object any) {
	if f.told[kind]++; f.told[kind] > toldRows {
		return
	}
	if f.json {
		f.write(kind, object)
		return
	}
	fmt.Fprintf(f.out, "%-8s %s\n", kind, text)
}

// rowFound is a row as JSON has it.
type rowFound struct {
	Entity string    `json:"entity_id"`
	Metric string    `json:"metric"`
	Unit   string    `json:"unit"`
	Start  time.Time `json:"start"`
	Width  string    `json:"width"`
	What   string    `json:"what"`
}

func (f *findings) row(kind, suffix string) func(*verify.Difference) {
	return func(d *verify.Difference) {
		f.tell(kind, d.String()+suffix, rowFound{
			d.Series.EntityID, d.Series.Metric, d.Series.Unit, time.Unix(0, d.Start).UTC(), d.Width.String(), d.What + suffix,
		})
	}
}

func (f *findings) refused(r *goldstore.QuarantineRow) {
	received := time.Unix(0, r.Stamp.Received).UTC()
	of, stream := r.Reading.EntityID+" "+r.Reading.Metric, streamOf(r.Stamp.Stream)
	if r.Reading.EntityID == "" && r.Reading.Metric == "" {
		of = "what names no reading"
	}
	if r.Stamp.Stream == refusal.ForeignStream {
		stream = broker.StreamBronze // silver-cleaner could not read the message
	}
	text := fmt.Sprintf("%s %s of %s, message %d of %s, received %s: it is neither in gold nor in quarantine",
		r.Stage, r.Rule, of, r.Stamp.Sequence, stream, received.Format(time.RFC3339Nano))
	f.tell("lost", text, map[string]any{
		"stage": r.Stage, "rule": r.Rule, "entity_id": r.Reading.EntityID, "metric": r.Reading.Metric,
		"stream": stream, "sequence": r.Stamp.Sequence, "index": r.Stamp.Index, "received": received,
	})
}

func runVerify(c *cobra.Command, v verify.Config, asJSON bool) error {
	out := c.OutOrStdout()
	f := &findings{objects: objects{out: out}, json: asJSON, told: make(map[string]int)}
	v.Logger = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	v.Differs, v.Orphan, v.Lost = f.row("differs", ""), f.row("orphan", " whose messages the stream has lost"), f.refused
	report, err := verify.Run(c.Context(), v)
	if err != nil {
		return err
	}
	if asJSON {
		f.write("report", &report)
	} else {
		for _, kind := range slices.Sorted(maps.Keys(f.told)) {
			if n := f.told[kind]; n > toldRows {
				fmt.Fprintf(out, "%-8s … and %d more\n", kind, n-toldRows)
			}
		}
		printVerified(out, &report)
	}
	if f.err != nil {
		return f.err
	}
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
		{r.Pending, "versions and refusals may still be on their way"},
		{r.Untold, "versions and refusals were not checked: more is on its way than can be told apart, " +
			"and they came later than the first of it; verify again once the stages have caught up"},
		{r.Unsettled, "versions and refusals of metrics whose rules changed are not settled: " +
			"apply the catalogue, then verify again"},
		{r.Behind, "rows are to be computed anew under the newest epoch: apply the catalogue, or run a batch into " +
			"another database, then verify again"},
		{r.Failed, "readings are unverifiable: this build fails over them, which is a bug that the log tells more of"},
		{r.Unverifiable, "rows are unverifiable in part: " + r.Layer.String() + " holds some of their readings no more, " +
			"or this build fails over them"},
		{r.Orphans, "rows have readings that " + r.Layer.String() + " has lost, though it holds later ones or should: " +
			"the broker came back without its tail; they are unverifiable in part"},
	} {
		if one.n > 0 {
			fmt.Fprintf(out, "%d %s\n", one.n, one.what)
		}
	}
}
