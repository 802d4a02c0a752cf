package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func latestCommand(getenv func(string) string) *cobra.Command {
	var f queryFlags
	c := &cobra.Command{
		Use:     "latest",
		Short:   "Show the latest reading of each series",
		Long:    "latest prints the latest reading that counts of each series of a selection.",
		Example: "  energy latest --entity sceaux --zone Europe/Paris",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			zone, err := f.location()
			if err != nil {
				return err
			}
			client, closeConn, err := dial(f.server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			stream, err := client.GetLatest(c.Context(), &energyv1.GetLatestRequest{Selector: f.selector()})
			if err != nil {
				return explain(f.server, err)
			}
			return streamTable(c.OutOrStdout(), f.server, "entity\tmetric\ttime\tvalue\tunit\tquality", stream,
				func(r *energyv1.GetLatestResponse) string {
					s := r.GetSeries()
					return strings.Join([]string{
						s.GetEntityId(), s.GetMetric(), r.GetTime().AsTime().In(zone).Format(time.RFC3339), number(r.GetValue()),
						s.GetUnit(), strings.ToLower(strings.TrimPrefix(r.GetQuality().String(), "QUALITY_")),
					}, "\t")
				})
		},
	}
	f.selection(c.Flags(), getenv)
	return c
}
