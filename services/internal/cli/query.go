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
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// ownZone stands for the zone of each entity.
const ownZone = "own"

// queryFlags is what `energy query` was called with.
type queryFlags struct {
	selection
	from, to         string
	window           string
	groupBy, groupOf string
	fill, knownAt    string
	format           string
}

func queryCommand(getenv func(string) string) *cobra.Command {
	var f queryFlags
	c := &cobra.Command{
		Use:   "query",
		Short: "Ask for aggregates per window",
		Long: `query asks the query service for one aggregate a series and window, or one a
group of series and window.

A window is a multiple of the series' base window (15m, 1h, 24h ...) or of the
calendar: day, week, month, year, gas_day (from 06:00), in a zone, or in each
entity's own (--zone own; printed times are then in UTC, dates are local).
Multiples count from 1970-01-01 00:00 UTC, whatever the zone is. From the first
reading of a series on, windows without readings are answered too, with received
0; --fill says otherwise. Filled values are marked with ~ and count nowhere else.

Parents, labels and own zones are those of energy entities, from the dates on
that they have there.

A table's notes tell of falls of a register (reset: read as a reset to zero or a
rollover; exchange: read as another meter, so that nothing is counted), of rules
that flagged readings, and of windows whose last reading has no successor yet
(edge_open). csv and json have all there is.`,
		Example: `  # daily energy of one household, local days
  energy query --entity sceaux --metric active_power_mean --window day --zone Europe/Paris

  # quarter hours of one day for all its series, as CSV
  energy query --entity sceaux --from 2007-01-01 --to 2007-01-02 --zone Europe/Paris --window 15m --format csv

  # monthly energy of what a site has, by tariff, days as they are there
  energy query --parent site-1 --metric active_energy --window month --zone own --group-by label=tariff

  # what was known on the 3rd of March, and a plot of what is known now
  energy query --entity meter-7 --window day --known-at 2026-03-03T12:00:00Z
  energy query --entity meter-7 --window day --format plot`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.spans(c, getenv)
	flags := c.Flags()
	flags.Lookup("format").Usage = formatsUsage + ", or plot"
	flags.StringVar(&f.from, "from", "",
		"start, as 2007-01-01, 2007-01-01T06:00 (in --zone) or with an offset; the first reading when not given")
	flags.StringVar(&f.to, "to", "", "end, exclusive, as --from; the last reading when not given")
	flags.StringVar(&f.groupBy, "group-by", "series", "series, parent, label=KEY or all")
	flags.StringVar(&f.groupOf, "group-label", "", "key of the label of --group-by label")
	flags.StringVar(&f.fill, "fill", "null", "what windows without readings have: none (they are left out), null, "+
		"previous (the values before) or linear (between the values on either side)")
	flags.StringVar(&f.knownAt, "known-at", "",
		"answer by what had been received and was in force at this time, as --from; now when not given")
	return c
}

// spans adds the flags of commands that answer windows.
func (f *queryFlags) spans(c *cobra.Command, getenv func(string) string) {
	f.add(c, getenv)
	flags := c.Flags()
	flags.Lookup("zone").Usage = "IANA zone of calendar windows, of times that are given, and of printed times; " +
		"own: calendar windows in the zone of each entity, times in UTC"
	flags.StringVar(&f.window, "window", "1h", "window: a duration or day, week, month, year, gas_day")
	flags.StringVar(&f.format, "format", "table", formatsUsage)
}

func (f *queryFlags) ownZones() bool { return f.zone == ownZone }
func (f *queryFlags) grouped() bool  { return f.groupBy != "" && f.groupBy != "series" }

// location returns the zone of times, UTC where entities have their own.
func (f *queryFlags) location() (*time.Location, error) {
	if f.ownZones() {
		return time.UTC, nil
	}
	return f.selection.location()
}

func (f *queryFlags) run(ctx context.Context, out, errOut io.Writer) error {
	zone, err := f.location()
	if err != nil {
		return usageError{err}
	}
	req, err := f.request(zone)
	if err != nil {
		return usageError{err}
	}
	windows, err := f.output(out, zone)
	if err != nil {
		return usageError{err}
	}
	client, closeConn, err := dial(f.server)
	if err != nil {
		return err
	}
	defer closeConn() //nolint:errcheck // all was read
	answered := newSeen()
	err = eachAnswer(ctx, client, req, func(r *energyv1.QueryAggregatesResponse) error {
		answered.note(r.GetSeries().GetEntityId(), metricOf(r))
		return each(r, windows.write)
	})
	if err != nil {
		return explain(f.server, err)
	}
	f.missing(errOut, answered, f.grouped())
	return windows.flush()
}

func (f *queryFlags) output(out io.Writer, zone *time.Location) (output[window], error) {
	if f.format == "plot" {
		return plotOutput(out, zone, f.ownZones()), nil
	}
	o, err := f.forms(zone).output(f.format, out)
	if err != nil {
		return o, fmt.Errorf("%w, or plot", err)
	}
	return o, nil
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

// instantFlag is a flag that is a time.
type instantFlag struct {
	name, text string
	target     **timestamppb.Timestamp
}

// instants sets the times of those flags that were given.
func instants(zone *time.Location, flags ...instantFlag) (faults []error) {
	for _, f := range flags {
		if f.text == "" {
			continue
		}
		t, err := ask.Time(f.text, zone)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %w", f.name, err))
			continue
		}
		*f.target = timestamppb.New(t)
	}
	return faults
}

func (f *queryFlags) request(zone *time.Location) (*energyv1.QueryAggregatesRequest, error) {
	req := new(energyv1.QueryAggregatesRequest)
	faults := instants(zone, instantFlag{"--from", f.from, &req.Start}, instantFlag{"--to", f.to, &req.End},
		instantFlag{"--known-at", f.knownAt, &req.KnownAt})
	var err error
	if req.Selector, err = f.selector(); err != nil {
		faults = append(faults, err)
	}
	if req.Window, err = ask.Window(f.window, zone); err != nil {
		faults = append(faults, fmt.Errorf("--window %w", err))
	}
	if req.Window != nil && f.ownZones() {
		if _, calendar := req.GetWindow().GetSpan().(*energyv1.Window_Calendar); !calendar {
			faults = append(faults, fmt.Errorf("--zone own is for windows of the calendar, --window %s is none", f.window))
		}
		req.Window.Zone, req.Window.EntityZone = "", true
	}
	if f.groupBy != "" {
		if req.GroupBy, req.GroupLabel, err = ask.GroupBy(f.groupBy, f.groupOf); err != nil {
			faults = append(faults, fmt.Errorf("--group-by %w", err))
		}
	}
	if f.fill != "" {
		if req.GapFill, err = ask.GapFill(f.fill); err != nil {
			faults = append(faults, fmt.Errorf("--fill %w", err))
		}
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
