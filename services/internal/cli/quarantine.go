package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

func quarantineCommand(getenv func(string) string) *cobra.Command {
	c := &cobra.Command{
		Use:   "quarantine",
		Short: "What was refused: list, show, release, discard, judge again",
		Long: `quarantine shows the readings that were refused, and decides on them.

An entry is open until somebody releases it, so that its reading counts from then
on, or discards it, or the catalogue changes and it is judged again. Whatever is
decided is safe to repeat, and to stop anywhere.`,
		Example: `  energy quarantine count
  energy quarantine list --rule out_of_range --entity meter-7 --newest
  energy quarantine show 1769860800123456789.0.42.3.silver.out_of_range.1
  energy quarantine release 1769860800123456789.0.42.3.silver.out_of_range.1 --reason "read off by hand"
  energy quarantine discard --rule time_in_future --entity meter-7 --reason "clock was wrong" --yes
  energy quarantine rejudge --stage ingest --yes`,
	}
	return commandsOf(c, append(decideCommands(getenv),
		listQuarantine(getenv), countQuarantine(getenv), showQuarantine(getenv))...)
}

// quarantineFlags is the flags that pick entries.
type quarantineFlags struct {
	selection
	states, stages, rules        []string
	from, to                     string
	receivedSince, receivedUntil string
}

// add adds the flags; states is what is picked where none are given.
func (f *quarantineFlags) add(c *cobra.Command, getenv func(string) string, states ...string) {
	flags := c.Flags()
	flags.StringVar(&f.server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	flags.StringSliceVar(&f.states, "state", states, "states: open, released, discarded, judged_again, or all")
	flags.StringSliceVar(&f.stages, "stage", nil, "stages that refused: ingest, silver, gold")
	flags.StringSliceVar(&f.rules, "rule", nil, "rules, one of which fired first, such as out_of_range")
	flags.StringSliceVar(&f.entities, "entity", nil, "entity ids")
	flags.StringSliceVar(&f.metrics, "metric", nil, "metrics")
	flags.StringVar(&f.from, "from", "",
		"readings from this time on, as 2007-01-01, 2007-01-01T06:00 (in --zone) or with an offset")
	flags.StringVar(&f.to, "to", "", "readings before this time, as --from")
	flags.StringVar(&f.receivedSince, "received-since", "", "received from this time on, as --from")
	flags.StringVar(&f.receivedUntil, "received-until", "", "received before this time, as --from")
	flags.StringVar(&f.zone, "zone", "UTC", "IANA zone of times that are given and printed")
	fixed := map[string][]string{
		"state": {"open", "released", "discarded", "judged_again", "all"},
		"stage": {"ingest", "silver", "gold"}, "rule": ruleNames(),
	}
	for name, values := range fixed {
		err := c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		if err != nil { // only for a flag that is not there
			panic(err)
		}
	}
	f.complete(c)
}

// ruleNames returns the names of the rules that refuse.
func ruleNames() (names []string) {
	for r := reading.Rule(0); ; r++ {
		name := r.String()
		if _, known := reading.ParseRule(name); !known {
			return names
		}
		if !r.Gold() {
			names = append(names, name)
		}
	}
}

// given reports whether any flag picks entries.
func (f *quarantineFlags) given(c *cobra.Command) bool {
	for _, name := range []string{
		"state", "stage", "rule", "entity", "metric", "from", "to", "received-since", "received-until",
	} {
		if c.Flags().Changed(name) {
			return true
		}
	}
	return false
}

func (f *quarantineFlags) filter() (*energyv1.QuarantineFilter, *time.Location, error) {
	zone, err := f.location()
	if err != nil {
		return nil, nil, err
	}
	out := &energyv1.QuarantineFilter{Stages: f.stages, Rules: f.rules, EntityIds: f.entities, Metrics: f.metrics}
	faults := instants(zone,
		instantFlag{"--from", f.from, &out.Start}, instantFlag{"--to", f.to, &out.End},
		instantFlag{"--received-since", f.receivedSince, &out.ReceivedStart},
		instantFlag{"--received-until", f.receivedUntil, &out.ReceivedEnd})
	if len(f.states) > 1 && slices.Contains(f.states, "all") {
		faults = append(faults, errors.New("--state: all is every state: give it alone"))
	}
	for _, name := range f.states {
		state, ok := energyv1.QuarantineState_value["QUARANTINE_STATE_"+strings.ToUpper(name)]
		switch {
		case name == "all":
			out.States = nil
			return out, zone, errors.Join(faults...)
		case !ok || state == 0:
			faults = append(faults, fmt.Errorf("--state %q is not known: give open, released, discarded, "+
				"judged_again or all", name))
		}
		out.States = append(out.States, energyv1.QuarantineState(state))
	}
	return out, zone, errors.Join(faults...)
}

func stateName(s energyv1.QuarantineState) string { return lower(s.String(), "QUARANTINE_STATE_") }

type entry = *energyv1.QuarantineEntry

// entryForms says how entries are written; times are in a zone.
func entryForms(zone *time.Location) *forms[entry] {
	at := func(t *timestamppb.Timestamp, layout string) string {
		if t == nil {
			return ""
		}
		return t.AsTime().In(zone).Format(layout)
	}
	of := func(get func(*energyv1.Reading) string) func(entry) string {
		return func(e entry) string {
			if e.GetReading() == nil {
				return ""
			}
			return get(e.GetReading())
		}
	}
	key := column[entry]{"key", entry.GetKey}
	short := []column[entry]{
		{"state", func(e entry) string { return stateName(e.GetState()) }},
		{"stage", entry.GetStage},
		{"rule", entry.GetRule},
		{"epoch", func(e entry) string { return strconv.FormatUint(e.GetEpoch(), 10) }},
		{"entity", of((*energyv1.Reading).GetEntityId)},
		{"metric", of((*energyv1.Reading).GetMetric)},
		{"time", of(func(r *energyv1.Reading) string { return at(r.GetTime(), time.RFC3339Nano) })},
		{"value", of(func(r *energyv1.Reading) string { return number(r.GetValue()) })},
		{"unit", of((*energyv1.Reading).GetUnit)},
		{"received", func(e entry) string { return at(e.GetReceived(), stampLayout) }},
		{"person", entry.GetPerson},
		{"decided_at", func(e entry) string { return at(e.GetDecidedAt(), time.RFC3339) }},
		{"reason", entry.GetReason},
		{"detail", entry.GetDetail},
	}
	all := append([]column[entry]{key}, short...)
	return &forms[entry]{
		table: append(slices.Clip(short), key), none: "no entries match",
		csv: append(all,
			column[entry]{"rules", func(e entry) string { return strings.Join(e.GetRules(), " ") }},
			column[entry]{"quality", of(func(r *energyv1.Reading) string { return lower(r.GetQuality().String(), "QUALITY_") })},
			column[entry]{"revision", of(func(r *energyv1.Reading) string { return strconv.FormatUint(r.GetRevision(), 10) })},
			column[entry]{"origin", func(e entry) string {
				return fmt.Sprintf("%s:%d[%d]", e.GetStream(), e.GetSequence(), e.GetIndex())
			}}),
		message: func(e entry) proto.Message { return e },
	}
}

func listQuarantine(getenv func(string) string) *cobra.Command {
	var (
		f      quarantineFlags
		req    energyv1.ListQuarantineRequest
		format string
	)
	c := &cobra.Command{
		Use:   "list",
		Short: "List entries: the open ones, where no --state is given",
		Example: `  energy quarantine list --entity meter-7
  energy quarantine list --state all --received-since 2026-03-01 --format csv > refused.csv`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter, zone, err := f.filter()
			if err != nil {
				return usageError{err}
			}
			out, err := entryForms(zone).output(format, c.OutOrStdout())
			if err != nil {
				return usageError{err}
			}
			client, closeConn, err := dialQuarantine(f.server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			req.Filter = filter
			stream, err := client.ListQuarantine(c.Context(), &req)
			if err != nil {
				return explain(f.server, err)
			}
			err = eachOf(stream, func(r *energyv1.ListQuarantineResponse) error { return out.write(r.GetEntry()) })
			if err != nil {
				return explain(f.server, err)
			}
			return out.flush()
		},
	}
	f.add(c, getenv, "open")
	flags := c.Flags()
	flags.BoolVar(&req.NewestFirst, "newest", false, "the latest received first")
	flags.Uint32Var(&req.Limit, "limit", 0, "at most so many; 0 is all")
	flags.StringVar(&req.After, "after", "", "only entries behind this key: the last one of the page before")
	flags.StringVar(&format, "format", "table", formatsUsage)
	return c
}

func countQuarantine(getenv func(string) string) *cobra.Command {
	var (
		f      quarantineFlags
		format string
	)
	c := &cobra.Command{
		Use:     "count",
		Short:   "Count entries by stage, rule and state",
		Example: "  energy quarantine count --metric voltage",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter, _, err := f.filter()
			if err != nil {
				return usageError{err}
			}
			out, err := groupForms.output(format, c.OutOrStdout())
			if err != nil {
				return usageError{err}
			}
			client, closeConn, err := dialQuarantine(f.server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			counted, err := client.CountQuarantine(c.Context(), &energyv1.CountQuarantineRequest{Filter: filter})
			if err != nil {
				return explain(f.server, err)
			}
			for _, g := range counted.GetGroups() {
				if err := out.write(g); err != nil {
					return err
				}
			}
			return out.flush()
		},
	}
	f.add(c, getenv, "all")
	c.Flags().StringVar(&format, "format", "table", formatsUsage)
	return c
}

type group = *energyv1.QuarantineGroup

var groupColumns = []column[group]{
	{"stage", group.GetStage},
	{"rule", group.GetRule},
	{"state", func(g group) string { return stateName(g.GetState()) }},
	{"entries", func(g group) string { return strconv.FormatUint(g.GetEntries(), 10) }},
}

var groupForms = forms[group]{
	table: groupColumns, csv: groupColumns, none: "no entries match", message: func(g group) proto.Message { return g },
}

func showQuarantine(getenv func(string) string) *cobra.Command {
	var server, format, zoneName string
	c := &cobra.Command{
		Use:   "show KEY",
		Short: "Show an entry with its rules, reading, origin and payload",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one key, got %d; energy quarantine list prints them",
					c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			zone, err := ask.Zone(zoneName)
			if err != nil {
				return usageError{fmt.Errorf("--zone %w", err)}
			}
			client, closeConn, err := dialQuarantine(server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			shown, err := client.GetQuarantineEntry(c.Context(), &energyv1.GetQuarantineEntryRequest{Key: args[0]})
			if err != nil {
				return explain(server, err)
			}
			switch format {
			case "json":
				return writeJSON(c.OutOrStdout(), shown)
			case "table":
				return printEntry(c.OutOrStdout(), shown, zone)
			default:
				return usageError{fmt.Errorf("--format %q is not known: give table or json", format)}
			}
		},
	}
	c.Flags().StringVar(&server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	c.Flags().StringVar(&format, "format", "table", "table or json")
	c.Flags().StringVar(&zoneName, "zone", "UTC", "IANA zone of times that are printed")
	return c
}
