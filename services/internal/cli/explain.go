package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// stampLayout is of receive times: with all digits, so that they can be given to
// --known-at, and of one width.
const stampLayout = "2006-01-02T15:04:05.000000000Z07:00"

// version is one version of a reading.
type version struct {
	at time.Time
	*energyv1.ExplainedVersion
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// sent is the reading as its producer sent it, as far as it is still held.
func sent(v version) string {
	s := v.GetOrigin().GetSent()
	switch {
	case !v.GetOrigin().GetHeld():
		return "no longer held"
	case s == nil:
		return ""
	}
	text := number(s.GetValue()) + " " + s.GetUnit()
	if t := s.GetTime().AsTime(); !t.Equal(v.at) {
		text += " at " + t.Format(time.RFC3339Nano)
	}
	return strings.TrimSpace(text)
}

// versionColumns are the columns of versions; zone is of their times.
func versionColumns(zone *time.Location) []column[version] {
	at := func(t time.Time) string { return t.In(zone).Format(time.RFC3339Nano) }
	return []column[version]{
		{"time", func(v version) string { return at(v.at) }},
		{"value", func(v version) string { return number(v.GetValue()) }},
		{"quality", func(v version) string { return lower(v.GetQuality().String(), "QUALITY_") }},
		{"revision", func(v version) string { return strconv.FormatUint(v.GetRevision(), 10) }},
		{"outcome", func(v version) string { return lower(v.GetOutcome().String(), "OUTCOME_") }},
		{"flags", func(v version) string { return strings.Join(v.GetFlags(), " ") }},
		{"length", func(v version) string {
			if v.GetLength() == nil {
				return ""
			}
			return v.GetLength().AsDuration().String()
		}},
		{"exchange_start", func(v version) string {
			if v.ExchangeStart == nil {
				return ""
			}
			return number(v.GetExchangeStart())
		}},
		{"epoch", func(v version) string { return strconv.FormatUint(v.GetEpoch(), 10) }},
		{"released", func(v version) string { return yes(v.GetReleased()) }},
		{"received", func(v version) string { return v.GetOrigin().GetReceived().AsTime().In(zone).Format(stampLayout) }},
		{"origin", func(v version) string {
			o := v.GetOrigin()
			return fmt.Sprintf("%s:%d[%d]", o.GetStream(), o.GetSequence(), o.GetIndex())
		}},
		{"subject", func(v version) string { return v.GetOrigin().GetSubject() }},
		{"sent", sent},
		{"trace_id", func(v version) string { return v.GetOrigin().GetTraceId() }},
		{"reason", func(v version) string { return v.GetReason() }},
	}
}

// explainFlags is what `energy explain` was called with.
type explainFlags struct {
	selection
	unit              string
	from, to, knownAt string
	format            string
}

func explainCommand(getenv func(string) string) *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain",
		Short: "Show which readings a number rests on, and why",
		Long: `explain lists every version that gold has of the readings of one series in a span:
which one counts and why the others do not, what flagged it, the catalogue epoch
that judged it, and where it came from: when it was received, stream, sequence and
index in the message and, while the stream holds the message, what was sent and its
trace.

An outcome is counts, withdraws, or why it does not: lesser_quality,
lesser_revision, earlier, lesser_value, judged_again, rejected, overruled.`,
		Example: `  # why has this quarter of an hour the energy that it has?
  energy explain --entity meter-7 --metric active_energy --from 2026-03-01T10:00 --to 2026-03-01T10:15

  # what was known before the correction came
  energy explain --entity meter-7 --metric active_energy --from 2026-03-01 --to 2026-03-02 \
    --known-at 2026-03-03T12:00:00Z --format json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	flags.StringSliceVar(&f.entities, "entity", nil, "id of the entity")
	flags.StringSliceVar(&f.metrics, "metric", nil, "metric")
	flags.StringVar(&f.unit, "unit", "", "unit of the series; needed only where the entity has the metric in several")
	flags.StringVar(&f.from, "from", "", "start, as 2007-01-01, 2007-01-01T06:00 (in --zone) or with an offset")
	flags.StringVar(&f.to, "to", "", "end, exclusive, as --from")
	flags.StringVar(&f.knownAt, "known-at", "", "what was known at this time, as --from; now when not given")
	flags.StringVar(&f.zone, "zone", "UTC", "IANA zone of times that are given and printed")
	flags.StringVar(&f.format, "format", "table", formatsUsage)
	f.complete(c)
	return c
}

func (f *explainFlags) request() (*energyv1.ExplainAggregateRequest, *time.Location, error) {
	zone, err := f.location()
	if err != nil {
		return nil, nil, err
	}
	req := new(energyv1.ExplainAggregateRequest)
	faults := instants(zone, instantFlag{"--from", f.from, &req.Start}, instantFlag{"--to", f.to, &req.End},
		instantFlag{"--known-at", f.knownAt, &req.KnownAt})
	for _, given := range []struct {
		name string
		n    int
	}{{"--entity", len(f.entities)}, {"--metric", len(f.metrics)}, {"--from", len(f.from)}, {"--to", len(f.to)}} {
		switch {
		case given.n == 0:
			faults = append(faults, fmt.Errorf("%s is required", given.name))
		case given.n > 1 && (given.name == "--entity" || given.name == "--metric"):
			faults = append(faults, fmt.Errorf("%s: one series is explained at a time", given.name))
		}
	}
	return req, zone, errors.Join(faults...)
}

func (f *explainFlags) run(ctx context.Context, out, errOut io.Writer) error {
	req, zone, err := f.request()
	if err != nil {
		return usageError{err}
	}
	columns := versionColumns(zone)
	var short []column[version]
	for _, c := range columns {
		if c.header != "length" && c.header != "exchange_start" && c.header != "subject" {
			short = append(short, c)
		}
	}
	forms := forms[version]{
		table: short, csv: columns, none: "no readings match",
		message: func(v version) proto.Message { return v.ExplainedVersion },
	}
	versions, err := forms.output(f.format, out)
	if err != nil {
		return usageError{err}
	}
	client, closeConn, err := dial(f.server)
	if err != nil {
		return err
	}
	defer closeConn() //nolint:errcheck // all was read
	req.Series = &energyv1.SeriesKey{EntityId: f.entities[0], Metric: f.metrics[0], Unit: f.unit}
	if f.unit == "" {
		if err := f.findUnit(ctx, client, req.GetSeries(), errOut); err != nil {
			return err
		}
	}
	stream, err := client.ExplainAggregate(ctx, req)
	if err != nil {
		return explain(f.server, err)
	}
	err = eachOf(stream, func(r *energyv1.ExplainAggregateResponse) error {
		if f.format == "json" { // a reading a line, with its time
			return writeJSON(out, r)
		}
		for _, v := range r.GetVersions() {
			if err := versions.write(version{r.GetTime().AsTime(), v}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return explain(f.server, err)
	}
	return versions.flush()
}

// findUnit completes the key of a series by the unit that it has.
func (f *explainFlags) findUnit(
	ctx context.Context, client energyv1.QueryServiceClient, key *energyv1.SeriesKey, errOut io.Writer,
) error {
	stream, err := client.ListSeries(ctx, &energyv1.ListSeriesRequest{
		Selector: &energyv1.Selector{EntityIds: f.entities, Metrics: f.metrics},
	})
	if err != nil {
		return explain(f.server, err)
	}
	var units []string
	err = eachOf(stream, func(r *energyv1.ListSeriesResponse) error {
		units = append(units, r.GetSeries().GetUnit())
		return nil
	})
	switch {
	case err != nil:
		return explain(f.server, err)
	case len(units) > 1:
		return usageError{fmt.Errorf("%s %s comes in %s: say which by --unit",
			key.GetEntityId(), key.GetMetric(), strings.Join(units, " and "))}
	case len(units) == 1:
		key.Unit = units[0]
	default:
		fmt.Fprintf(errOut, "energy: entity %q has no readings of %q here; energy series lists what there is\n",
			key.GetEntityId(), key.GetMetric())
	}
	return nil
}
