package cli

import (
	"strings"

	"github.com/spf13/cobra"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func seriesCommand(getenv func(string) string) *cobra.Command {
	var f queryFlags
	c := &cobra.Command{
		Use:     "series",
		Short:   "List the series that there are",
		Long:    "series lists entities and metrics with their units, kinds and base windows.",
		Example: "  energy series\n  energy series --metric active_energy",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, closeConn, err := dial(f.server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			stream, err := client.ListSeries(c.Context(), &energyv1.ListSeriesRequest{Selector: f.selector()})
			if err != nil {
				return explain(f.server, err)
			}
			return streamTable(c.OutOrStdout(), f.server, "entity\tmetric\tunit\tkind\tenergy_unit\tbase_window", stream,
				func(r *energyv1.ListSeriesResponse) string {
					s := r.GetSeries()
					return strings.Join([]string{
						s.GetEntityId(), s.GetMetric(), s.GetUnit(),
						strings.ToLower(strings.TrimPrefix(r.GetKind().String(), "KIND_")),
						r.GetEnergyUnit(), r.GetBaseWindow().AsDuration().String(),
					}, "\t")
				})
		},
	}
	f.selection(c.Flags(), getenv)
	return c
}
