package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

func statusCommand(getenv func(string) string) *cobra.Command {
	var server, format string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show streams, positions, lag and conservation",
		Long: `status shows what every stream holds, how far every stage has come, what waits,
and whether all that one stage passed on has arrived at the next.

Its exit status is 1 when readings are missing.`,
		Example: "  energy status\n  energy status --format json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, closeConn, err := dial(server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			status, err := client.GetPipelineStatus(c.Context(), &energyv1.GetPipelineStatusRequest{})
			if err != nil {
				return explain(server, err)
			}
			if err := printStatus(c.OutOrStdout(), format, status); err != nil {
				return err
			}
			if n := status.GetMissing(); n > 0 {
				return fmt.Errorf("%d readings are missing: a stage passed them on and the next never took them in", n)
			}
			return nil
		},
	}
	c.Flags().StringVar(&server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

func printStatus(out io.Writer, format string, s *energyv1.GetPipelineStatusResponse) error {
	switch format {
	case "json":
		text, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: true, EmitUnpopulated: true}.Marshal(s)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", text)
		return err
	case "table":
		return statusTable(out, s)
	default:
		return usageError{fmt.Errorf("--format %q is not known: give table or json", format)}
	}
}

func statusTable(out io.Writer, s *energyv1.GetPipelineStatusResponse) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "stream\tmessages\tbytes\tlimit\tfull\tfirst\tlast\tback to")
	for _, stream := range s.GetStreams() {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d\t%d\t%s\n", stream.GetName(), stream.GetMessages(),
			bytesOf(stream.GetBytes()), limitOf(stream.GetMaxBytes()), fill(stream),
			stream.GetFirstSequence(), stream.GetLastSequence(), backTo(stream))
	}
	fmt.Fprintln(w, "\nstage\tpartitions\tin\tout\tquarantined\tpending\tlag")
	for _, stage := range s.GetStages() {
		lag := ""
		if stage.GetLag() != nil {
			lag = stage.GetLag().AsDuration().Round(1e6).String()
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", stage.GetStage(), stage.GetPartitions(), stage.GetReadingsIn(),
			stage.GetReadingsOut(), stage.GetQuarantined(), stage.GetPendingMessages(), lag)
	}
	if len(s.GetQuarantine()) > 0 {
		fmt.Fprintln(w, "\nquarantined by\trule\treadings")
		for _, q := range s.GetQuarantine() {
			fmt.Fprintf(w, "%s\t%s\t%d\n", q.GetStage(), q.GetRule(), q.GetReadings())
		}
	}
	fmt.Fprintf(w, "\n%s\n", ask.Conservation(s))
	return w.Flush()
}

func bytesOf(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	x, i := float64(n), 0
	for x >= 1024 && i < len(units)-1 {
		x, i = x/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[i])
}

// fill is how much of its limit a stream uses. Producers of a stream that is
// full are refused, so that nothing is lost without a word.
func fill(s *energyv1.StreamStatus) string {
	if s.GetMaxBytes() == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*float64(s.GetBytes())/float64(s.GetMaxBytes()))
}

// backTo is how far back a replay of a stream reaches.
func backTo(s *energyv1.StreamStatus) string {
	if s.GetFirstTime() == nil {
		return ""
	}
	return s.GetFirstTime().AsTime().Format(time.RFC3339)
}

func limitOf(n uint64) string {
	if n == 0 {
		return "none"
	}
	return bytesOf(n)
}

// caughtUp asks whether gold has everything that was stored when it was asked.
func caughtUp(ctx context.Context, client energyv1.QueryServiceClient) (bool, error) {
	status, err := client.GetPipelineStatus(ctx, &energyv1.GetPipelineStatusRequest{})
	return status.GetCaughtUp(), err
}
