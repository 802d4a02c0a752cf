package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func batchForms() *forms[*energyv1.Batch] {
	type record = *energyv1.Batch
	whole := func(n func(record) uint64) func(record) string {
		return func(b record) string { return fmt.Sprint(n(b)) }
	}
	table := []column[record]{
		{"id", record.GetId},
		{"kind", func(b record) string { return lower(b.GetKind().String(), "BATCH_KIND_") }},
		{"state", func(b record) string { return lower(b.GetState().String(), "BATCH_STATE_") }},
		{"layer", func(b record) string { return b.GetSelection().GetLayer() }},
		{"readings", whole(record.GetReadings)},
		{"new", whole(record.GetWindowsNew)},
		{"changed", whole(record.GetWindowsChanged)},
		{"unchanged", whole(record.GetWindowsUnchanged)},
		{"refused", func(b record) string { return fmt.Sprint(refusedIn(b)) }},
		{"epoch", whole(record.GetEpoch)},
		{"seconds", func(b record) string { return fmt.Sprintf("%.1f", secondsOf(b)) }},
		{"error", record.GetError},
	}
	csv := slices.Concat(table, []column[record]{
		{"started", func(b record) string { return b.GetStartedAt().AsTime().Format(time.RFC3339Nano) }},
		{"selection", func(b record) string { return b.GetSelection().String() }},
		{"code", record.GetCodeVersion},
	})
	return &forms[record]{
		table: table, csv: csv, none: "there were no batch runs",
		message: func(b record) proto.Message { return b },
	}
}

func refusedIn(b *energyv1.Batch) (n uint64) {
	for _, r := range b.GetRefused() {
		n += r.GetReadings()
	}
	return n
}

func secondsOf(b *energyv1.Batch) (seconds float64) {
	for _, s := range b.GetSteps() {
		seconds += s.GetSeconds()
	}
	return seconds
}

func batchesCommand(getenv func(string) string) *cobra.Command {
	var (
		server, format string
		limit          uint32
	)
	c := &cobra.Command{
		Use:   "batches [ID]",
		Short: "List batch runs and what they changed",
		Long: `batches prints the records of batch runs, the latest first, or of the one that is
named. One that was killed stays "running"; energy run-batch --resume ID goes on
with it. --format json tells all: selection, counts by stream and rule, steps.`,
		Example: "  energy batches --limit 5\n  energy batches --format json 20260329T061500Z-1f2e3d",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes one id, got %s", c.CommandPath(), strings.Join(args, " "))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			out, err := batchForms().output(format, c.OutOrStdout())
			if err != nil {
				return usageError{err}
			}
			client, closeConn, err := dial(server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			var batches []*energyv1.Batch
			if len(args) == 1 {
				r, err := client.GetBatch(c.Context(), &energyv1.GetBatchRequest{Id: args[0]})
				if err != nil {
					return explain(server, err)
				}
				batches = append(batches, r.GetBatch())
			} else {
				r, err := client.ListBatches(c.Context(), &energyv1.ListBatchesRequest{Limit: limit})
				if err != nil {
					return explain(server, err)
				}
				batches = r.GetBatches()
			}
			for _, b := range batches {
				if err := out.write(b); err != nil {
					return err
				}
			}
			return out.flush()
		},
	}
	flags := c.Flags()
	flags.StringVar(&server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	flags.StringVar(&format, "format", "table", formatsUsage)
	flags.Uint32Var(&limit, "limit", 20, "at most so many, up to 100")
	return c
}
