package cli

import (
	"context"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// printEntry writes an entry for people.
func printEntry(out io.Writer, shown *energyv1.GetQuarantineEntryResponse, zone *time.Location) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	e := shown.GetEntry()
	for _, c := range entryForms(zone).csv {
		if text := c.text(e); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", c.header, text)
		}
	}
	if !shown.GetHeld() {
		fmt.Fprintln(w, "message\tno longer held")
	} else {
		for _, f := range [...]struct{ name, text string }{
			{"subject", shown.GetSubject()}, {"trace_id", shown.GetTraceId()}, {"content_type", shown.GetContentType()},
			{"message", printable(shown.GetMessage())},
		} {
			if f.text != "" {
				fmt.Fprintf(w, "%s\t%s\n", f.name, f.text)
			}
		}
	}
	if p := e.GetPayload(); len(p) > 0 {
		fmt.Fprintf(w, "payload\t%s\n", printable(p))
	}
	for _, other := range shown.GetOthers() {
		fmt.Fprintf(w, "also\t%s %s\n", stateName(other.GetState()), other.GetKey())
	}
	return w.Flush()
}

// printable returns bytes as they are where they are text of one line, else quoted.
func printable(b []byte) string {
	if text := string(b); utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	return strconv.QuoteToGraphic(string(b))
}

// outcome is what the calls that decide answer.
type outcome interface {
	proto.Message
	GetDone() uint32
	GetAlready() uint32
	GetPending() uint32
	GetRefused() []*energyv1.QuarantineRefusal
	GetNext() string
}

type (
	quarantineClient = energyv1.QuarantineServiceClient
	picked           = *energyv1.QuarantineSelection
)

// decider is one way to decide.
type decider struct {
	name, done, short, long string
	reasoned                bool // whether who and why are asked for
	call                    func(context.Context, quarantineClient, *decideFlags, picked) (outcome, error)
}

var deciders = []decider{
	{"release", "released", "Let readings pass the rules that refused them",
		`release lets readings pass the rules that refused them. They count from then on:
gold has them, explain names who released them, and windows that had closed are
restated. What no rule but names, units or numbers refuses cannot be released.`,
		true,
		func(ctx context.Context, c quarantineClient, f *decideFlags, s picked) (outcome, error) {
			return c.ReleaseQuarantine(ctx, &energyv1.ReleaseQuarantineRequest{Selection: s, Person: f.person, Reason: f.reason})
		}},
	{"discard", "discarded", "Note that readings are not wanted",
		`discard notes that readings are not wanted: they are not listed as open any more.
They never counted, so no number changes. A release later on overrides it.`,
		true,
		func(ctx context.Context, c quarantineClient, f *decideFlags, s picked) (outcome, error) {
			return c.DiscardQuarantine(ctx, &energyv1.DiscardQuarantineRequest{Selection: s, Person: f.person, Reason: f.reason})
		}},
	{"rejudge", "sent to be judged again", "Judge readings again by the catalogue in force",
		`rejudge has readings judged again by the catalogue in force, and decodes again what
could not be decoded. energy catalog apply does so by itself for all that BRONZE
holds; this is for older readings, and for payloads that a later build understands.`,
		false,
		func(ctx context.Context, c quarantineClient, _ *decideFlags, s picked) (outcome, error) {
			return c.RejudgeQuarantine(ctx, &energyv1.RejudgeQuarantineRequest{Selection: s})
		}},
}

// decideFlags is the flags of commands that decide.
type decideFlags struct {
	quarantineFlags
	person, reason, format string
	yes                    bool
}

func decideCommands(getenv func(string) string) (commands []*cobra.Command) {
	for _, d := range deciders {
		var f decideFlags
		c := &cobra.Command{
			Use:   d.name + " [KEY...]",
			Short: d.short,
			Long: d.long + `

Entries are named by their keys, or picked by flags. Without --yes what flags pick
is counted and nothing is done.`,
			RunE: func(c *cobra.Command, keys []string) error { return f.run(c, d, keys) },
		}
		f.add(c, getenv, "open")
		flags := c.Flags()
		flags.BoolVar(&f.yes, "yes", false, "do it for all entries that the flags pick")
		flags.StringVar(&f.format, "format", "table", "table or json")
		if d.reasoned {
			flags.StringVar(&f.person, "by", valueOr(getenv, "ENERGY_PERSON", userName()), "who decides (ENERGY_PERSON)")
			flags.StringVar(&f.reason, "reason", "", "why; required")
		}
		commands = append(commands, c)
	}
	return commands
}

// userName returns the name of who runs the command, empty where it is not known.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func (f *decideFlags) run(c *cobra.Command, d decider, keys []string) error {
	filter, _, err := f.filter()
	switch picked := f.given(c); {
	case err != nil:
		return usageError{err}
	case len(keys) > 0 && (picked || f.yes):
		return usageError{fmt.Errorf("%s takes keys or flags that pick entries, not both", c.CommandPath())}
	case len(keys) == 0 && !picked:
		return usageError{fmt.Errorf("%s: which entries? give keys, or flags that pick them such as --rule, "+
			"or --state open for all that are open", c.CommandPath())}
	case d.reasoned && f.reason == "":
		return usageError{fmt.Errorf("--reason is required: say why")}
	case f.format != "table" && f.format != "json":
		return usageError{fmt.Errorf("--format %q is not known: give table or json", f.format)}
	}
	client, closeConn, err := dialQuarantine(f.server)
	if err != nil {
		return err
	}
	defer closeConn() //nolint:errcheck // all was answered
	selection := &energyv1.QuarantineSelection{Keys: keys}
	if len(keys) == 0 {
		selection.Filter = filter
		if !f.yes {
			return f.preview(c, d, client, filter)
		}
	}
	return f.decide(c, d, client, selection)
}

// preview counts what flags pick.
func (f *decideFlags) preview(
	c *cobra.Command, d decider, client quarantineClient, filter *energyv1.QuarantineFilter,
) error {
	counted, err := client.CountQuarantine(c.Context(), &energyv1.CountQuarantineRequest{Filter: filter})
	if err != nil {
		return explain(f.server, err)
	}
	out, err := groupForms.output("table", c.ErrOrStderr())
	if err != nil {
		return err
	}
	total := uint64(0)
	for _, g := range counted.GetGroups() {
		total += g.GetEntries()
		if err := out.write(g); err != nil {
			return err
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	return usageError{fmt.Errorf("nothing was done: --yes makes it so that these %d entries are %s", total, d.done)}
}

// decide decides on all that is selected, a part a call.
func (f *decideFlags) decide(
	c *cobra.Command, d decider, client quarantineClient, s picked,
) error {
	var done, already, pending uint64
	var refused int
	for {
		answer, err := d.call(c.Context(), client, f, s)
		if err != nil {
			return explain(f.server, err)
		}
		done, already = done+uint64(answer.GetDone()), already+uint64(answer.GetAlready())
		pending, refused = pending+uint64(answer.GetPending()), refused+len(answer.GetRefused())
		if f.format == "json" {
			if err := writeJSON(c.OutOrStdout(), answer); err != nil {
				return err
			}
		}
		for _, r := range answer.GetRefused() {
			fmt.Fprintf(c.ErrOrStderr(), "energy: %s: %s\n", r.GetKey(), r.GetReason())
		}
		if s.After = answer.GetNext(); s.GetAfter() == "" {
			break
		}
	}
	if f.format == "table" {
		text := []string{fmt.Sprintf("%d entries %s", done, d.done)}
		if already > 0 {
			text = append(text, fmt.Sprintf("%d were before", already))
		}
		if pending > 0 {
			text = append(text, fmt.Sprintf("%d do not show it yet: the services behind are at it", pending))
		}
		if _, err := fmt.Fprintln(c.OutOrStdout(), strings.Join(text, ", ")); err != nil {
			return err
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d entries cannot be %s", refused, d.done)
	}
	return nil
}
