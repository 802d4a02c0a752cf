package cli

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// lower is the name of a value of an enum as people write it.
func lower(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func seriesForms() *forms[*energyv1.ListSeriesResponse] {
	type series = *energyv1.ListSeriesResponse
	columns := []column[series]{
		{"entity", func(r series) string { return r.GetSeries().GetEntityId() }},
		{"metric", func(r series) string { return r.GetSeries().GetMetric() }},
		{"unit", func(r series) string { return r.GetSeries().GetUnit() }},
		{"kind", func(r series) string { return lower(r.GetKind().String(), "KIND_") }},
		{"energy_unit", series.GetEnergyUnit},
		{"base_window", func(r series) string { return r.GetBaseWindow().AsDuration().String() }},
	}
	return &forms[series]{
		table: columns, csv: columns, none: "no series match",
		message: func(r series) proto.Message { return r },
	}
}

func seriesCommand(getenv func(string) string) *cobra.Command {
	var (
		s      selection
		format string
	)
	c := &cobra.Command{
		Use:   "series",
		Short: "List the series that there are",
		Long:  "series lists entities and metrics with their units, kinds and base windows.",
		Example: `  energy series
  energy series --metric active_energy --label tariff=night --format csv`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			selector, err := s.selector()
			if err != nil {
				return usageError{err}
			}
			out, err := seriesForms().output(format, c.OutOrStdout())
			if err != nil {
				return usageError{err}
			}
			client, closeConn, err := dial(s.server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			stream, err := client.ListSeries(c.Context(), &energyv1.ListSeriesRequest{Selector: selector})
			if err != nil {
				return explain(s.server, err)
			}
			answered := newSeen()
			err = eachOf(stream, func(r *energyv1.ListSeriesResponse) error {
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

// eachOf calls fn for each message of a stream.
func eachOf[M any](stream grpc.ServerStreamingClient[M], fn func(*M) error) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
	}
}
