package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// queryFlags is what `energy query` was called with.
type queryFlags struct {
	server            string
	entities, metrics []string
	from, to          string
	window, zone      string
	format            string
}

func queryCommand(getenv func(string) string) *cobra.Command {
	var f queryFlags
	c := &cobra.Command{
		Use:   "query",
		Short: "Ask for aggregates per window",
		Long: `query asks the query service for one aggregate a series and window.

A window is a multiple of the series' base window (15m, 1h, 24h ...) or of the
calendar: day, week, month, year, gas_day (from 06:00), in a zone. Multiples
count from 1970-01-01 00:00 UTC, whatever the zone is. From the first reading of
a series on, windows without readings are answered too, with received 0.`,
		Example: `  # daily energy of one household, local days
  energy query --entity sceaux --metric active_power_mean --window day --zone Europe/Paris

  # quarter hours of one day for all its series, as CSV
  energy query --entity sceaux --from 2007-01-01 --to 2007-01-02 --zone Europe/Paris --window 15m --format csv`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.selection(c.Flags(), getenv)
	f.spans(c.Flags())
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "",
		"start, as 2007-01-01, 2007-01-01T06:00 (in --zone) or with an offset; the first reading when not given")
	flags.StringVar(&f.to, "to", "", "end, exclusive, as --from; the last reading when not given")
	return c
}

// selection adds the flags of commands that pick series.
func (f *queryFlags) selection(flags *pflag.FlagSet, getenv func(string) string) {
	flags.StringVar(&f.server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	flags.StringSliceVar(&f.entities, "entity", nil, "entity ids; all when not given")
	flags.StringSliceVar(&f.metrics, "metric", nil, "metrics; all when not given")
	flags.StringVar(&f.zone, "zone", "UTC", "IANA zone of calendar windows, of times that are given, and of printed times")
}

// spans adds the flags of commands that answer windows.
func (f *queryFlags) spans(flags *pflag.FlagSet) {
	flags.StringVar(&f.window, "window", "1h", "window: a duration or day, week, month, year, gas_day")
	flags.StringVar(&f.format, "format", "table", "table, json (a line a window) or csv")
}

func (f *queryFlags) selector() *energyv1.Selector {
	return &energyv1.Selector{EntityIds: f.entities, Metrics: f.metrics}
}

func (f *queryFlags) location() (*time.Location, error) {
	zone, err := ask.Zone(f.zone)
	if err != nil {
		return nil, usageError{fmt.Errorf("--zone %w", err)}
	}
	return zone, nil
}

func (f *queryFlags) run(ctx context.Context, out, errOut io.Writer) error {
	zone, err := f.location()
	if err != nil {
		return err
	}
	req, err := f.request(zone)
	if err != nil {
		return usageError{err}
	}
	printer, err := newPrinter(f.format, out, zone)
	if err != nil {
		return usageError{err}
	}
	client, closeConn, err := dial(f.server)
	if err != nil {
		return err
	}
	defer closeConn() //nolint:errcheck // all was read
	answered := make(map[string]bool)
	err = eachAnswer(ctx, client, req, func(r *energyv1.QueryAggregatesResponse) error {
		answered[r.GetSeries().GetEntityId()] = true
		return printer.answer(r)
	})
	if err != nil {
		return explain(f.server, err)
	}
	for _, entity := range f.entities {
		if !answered[entity] {
			fmt.Fprintf(errOut, "energy: entity %q has no readings here; energy series lists what there is\n", entity)
		}
	}
	return printer.finish()
}

// eachAnswer calls fn for each message of an answer.
func eachAnswer(
	ctx context.Context, client energyv1.QueryServiceClient, req *energyv1.QueryAggregatesRequest,
	fn func(*energyv1.QueryAggregatesResponse) error,
) error {
	stream, err := client.QueryAggregates(ctx, req)
	if err != nil {
		return err
	}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(msg); err != nil {
			return err
		}
	}
}

func (f *queryFlags) request(zone *time.Location) (*energyv1.QueryAggregatesRequest, error) {
	req := &energyv1.QueryAggregatesRequest{Selector: f.selector()}
	var faults []error
	for _, instant := range []struct {
		name, text string
		target     **timestamppb.Timestamp
	}{{"--from", f.from, &req.Start}, {"--to", f.to, &req.End}} {
		if instant.text == "" {
			continue
		}
		t, err := ask.Time(instant.text, zone)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %w", instant.name, err))
			continue
		}
		*instant.target = timestamppb.New(t)
	}
	var err error
	if req.Window, err = ask.Window(f.window, zone); err != nil {
		faults = append(faults, fmt.Errorf("--window %w", err))
	}
	return req, errors.Join(faults...)
}

// number prints a value with up to six decimals, without trailing zeros.
func number(x float64) string {
	if math.Abs(x) >= 1e15 || x != 0 && math.Abs(x) < 1e-6 {
		return fmt.Sprintf("%g", x)
	}
	s := strings.TrimRight(fmt.Sprintf("%.6f", x), "0")
	return strings.TrimSuffix(s, ".")
}
