package cli

import (
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func latestForms(zone *time.Location) *forms[*energyv1.GetLatestResponse] {
	type latest = *energyv1.GetLatestResponse
	columns := []column[latest]{
		{"entity", func(r latest) string { return r.GetSeries().GetEntityId() }},
		{"metric", func(r latest) string { return r.GetSeries().GetMetric() }},
		{"time", func(r latest) string { return r.GetTime().AsTime().In(zone).Format(time.RFC3339Nano) }},
		{"value", func(r latest) string { return number(r.GetValue()) }},
		{"unit", func(r latest) string { return r.GetSeries().GetUnit() }},
		{"quality", func(r latest) string { return lower(r.GetQuality().String(), "QUALITY_") }},
	}
	return &forms[latest]{
		table: columns, csv: columns, none: "no readings match",
		message: func(r latest) proto.Message { return r },
	}
}

func latestCommand(getenv func(string) string) *cobra.Command {
	var (
		s      selection
		format string
	)
	c := &cobra.Command{
		Use:   "latest",
		Short: "Show the latest reading of each series",
		Long:  "latest prints the latest reading that counts of each series of a selection.",
		Example: `  energy latest --entity sceaux --zone Europe/Paris
  energy latest --parent site-1 --format csv`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			zone, err := s.location()
			if err != nil {
				return usageError{err}
			}
			selector, err := s.selector()
			if err != nil {
				return usageError{err}
			}
			out, err := latestForms(zone).output(format, c.OutOrStdout())
			if err != nil {
				return usageError{err}
			}
			client, closeConn, err := dial(s.server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			stream, err := client.GetLatest(c.Context(), &energyv1.GetLatestRequest{Selector: selector})
			if err != nil {
				return explain(s.server, err)
			}
			answered := newSeen()
			err = eachOf(stream, func(r *energyv1.GetLatestResponse) error {
				answered.note(r.GetSeries().GetEntityId(), r.GetSeries().GetMetric())
				return out.write(r)
			})
			if err != nil {
				return explain(s.server, err)
			}
			s.missing(c.ErrOrStderr(), answered, false)
			return out.flush()
		},
	}
	s.add(c, getenv)
	c.Flags().StringVar(&format, "format", "table", formatsUsage)
	return c
}
