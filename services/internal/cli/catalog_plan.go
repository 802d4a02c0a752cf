package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/apply"
	"github.com/energy-platform/energy/services/internal/settings"
)

func catalogDiffCommand(environment map[string]string) *cobra.Command {
	var from, to uint64
	c := &cobra.Command{
		Use:   "diff [FILE]",
		Short: "What a file, or another epoch, says otherwise",
		Long: `diff prints what a file says otherwise than the newest epoch of the catalogue, or one
epoch otherwise than another: what they mean, not how they are written.`,
		Example: `  energy catalog diff catalog.yaml
  energy catalog diff --from 3 --to 4`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes one file at most, got %d", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && to != 0 {
				return usageError{errors.New("give a file or --to, not both")}
			}
			s, err := config.Load[settings.Broker](environment)
			if err != nil {
				return usageError{err}
			}
			return withJetStream(c.Context(), s, c.ErrOrStderr(), func(js jetstream.JetStream) error {
				all, err := readEpochs(c.Context(), js)
				if err != nil {
					return err
				}
				before, err := epochOr(all, from, all.Len())
				if err != nil {
					return err
				}
				var after *catalog.Catalog
				if len(args) == 1 {
					after, err = parseFile(args[0])
				} else {
					after, err = epochOr(all, to, all.Len())
				}
				if err != nil {
					return err
				}
				return printDiff(c.OutOrStdout(), catalog.Diff(before, after))
			})
		},
	}
	c.Flags().Uint64Var(&from, "from", 0, "number of the epoch to compare with; 0 is the newest")
	c.Flags().Uint64Var(&to, "to", 0, "number of the epoch that is compared, in place of a file")
	return c
}

// parseFile reads a catalogue; its faults are told with the file's name.
func parseFile(name string) (*catalog.Catalog, error) {
	document, err := os.ReadFile(name)
	if err != nil {
		return nil, usageError{err}
	}
	read, err := catalog.Parse(1, document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return read, nil
}

// readEpochs returns the epochs of the catalogue.
func readEpochs(ctx context.Context, js jetstream.JetStream) (all catalog.Epochs, err error) {
	store, err := broker.OpenEpochs(ctx, js)
	if err != nil {
		return all, err
	}
	stored, err := store.After(ctx, 0)
	for _, e := range stored {
		if err == nil {
			all, err = all.Append(e.Activated, e.Document)
		}
	}
	return all, err
}

// epochOr returns an epoch by its number, 0 for the other one.
func epochOr(all catalog.Epochs, number, otherwise uint64) (*catalog.Catalog, error) {
	if number == 0 {
		number = otherwise
	}
	c, ok := all.At(number)
	if !ok {
		return nil, fmt.Errorf("there is no epoch %d of the catalogue, the newest is %d", number, all.Len())
	}
	return c, nil
}

func printDiff(out io.Writer, all []catalog.Difference) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no difference")
		return err
	}
	t := table{out: out}
	nothing := func(text string) string {
		if text == "" {
			return "—"
		}
		return text
	}
	t.add([]string{"what", "before", "after"})
	for _, d := range all {
		t.add([]string{d.Path, nothing(d.Before), nothing(d.After)})
	}
	return t.flush()
}

func catalogPlanCommand(environment map[string]string) *cobra.Command {
	var (
		data    string
		windows bool
	)
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "What applying a catalogue would change; nothing is written",
		Long: `plan tells what energy catalog apply would do with the file: how many readings would
be judged otherwise, by metric and rule, and the answers of how many base windows would
change, with the sums of what they say before and after. With --windows it prints each
of them.

It goes through what BRONZE and gold hold by the functions that the services judge and
compute by, in bounded memory, and writes nothing. What comes in meanwhile comes on
top. Settings are those of energy catalog apply.`,
		Example: `  energy catalog plan catalog.yaml
  energy catalog plan catalog.yaml --windows > changes.txt`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one file, got %d", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return withCatalogTarget(c, environment, data, args[0],
				func(js jetstream.JetStream, store *goldstore.Store, document []byte) error {
					return planCatalog(c, js, store, document, windows)
				})
		},
	}
	c.Flags().StringVar(&data, "data", defaultData, dataUsage)
	c.Flags().BoolVar(&windows, "windows", false, "print each base window that would change")
	return c
}

func planCatalog(
	c *cobra.Command, js jetstream.JetStream, store *goldstore.Store, document []byte, windows bool,
) error {
	out := c.OutOrStdout()
	rows := table{out: out}
	var each func(apply.Window) error
	if windows {
		rows.add([]string{
			"entity", "metric", "unit", "start", "width", "readings", "", "sum", "", "energy", "", "advance", "",
		})
		each = func(w apply.Window) error {
			rows.add(windowCells(&w))
			if len(rows.rows) < tableRows {
				return nil
			}
			return rows.flush()
		}
	}
	plan, err := apply.PlanFor(c.Context(), apply.Deps{JetStream: js, Store: store, Logger: textLogger(c)}, document, each)
	if err != nil {
		return err
	}
	if windows {
		if err := rows.flush(); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	if plan.Created {
		fmt.Fprintf(out, "would be catalogue epoch %d (%.12s)\n", plan.Epoch.Epoch(), plan.Epoch.Hash())
	} else {
		fmt.Fprintf(out, "catalogue epoch %d (%.12s) is in force already\n", plan.Epoch.Epoch(), plan.Epoch.Hash())
	}
	printChanges(out, plan.Changes)
	fmt.Fprintf(out, "to judge again      %d readings\n", plan.Readings)
	if err := printVerdicts(out, plan.Effect); err != nil {
		return err
	}
	return printWindows(out, plan.Effect)
}

// tableRows is after how many rows a table is written.
const tableRows = 1000

func windowCells(w *apply.Window) []string {
	cells := []string{
		w.Series.EntityID, w.Series.Metric, w.Series.Unit, time.Unix(0, w.Start).UTC().Format(time.RFC3339), w.Width.String(),
	}
	for _, of := range [...]func(*gold.Partial) string{
		func(p *gold.Partial) string { return strconv.FormatUint(p.Count, 10) },
		func(p *gold.Partial) string { return number(p.Sum) },
		func(p *gold.Partial) string { return number(p.Energy) },
		func(p *gold.Partial) string { return number(p.Advance) },
	} {
		cells = append(cells, of(&w.Before), "→ "+of(&w.After))
	}
	return cells
}

// printVerdicts prints how many readings are judged otherwise.
func printVerdicts(out io.Writer, e *apply.Effect) error {
	verdicts, readings := e.Verdicts()
	if len(verdicts) == 0 {
		return nil
	}
	t := table{out: out}
	t.add([]string{"metric", "readings", "would be"})
	for i, v := range verdicts {
		text := v.Change.String()
		switch v.Change {
		case apply.Refuses:
			text += " by " + v.Rule.String()
		case apply.Admits:
			text += ", were refused by " + v.Rule.String()
		case apply.Alters:
			text += ": another value, unit, time or length"
		}
		t.add([]string{v.Metric, strconv.FormatUint(readings[i], 10), text})
	}
	return t.flush()
}

// printWindows prints the answers of which base windows change, and by how much.
func printWindows(out io.Writer, e *apply.Effect) error {
	all := e.Windows()
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "windows changed     none")
		return err
	}
	t := table{out: out}
	t.add([]string{
		"metric", "windows changed", "new", "emptied", "readings", "", "sum", "", "energy", "", "advance", "",
	})
	for i := range all {
		w := &all[i]
		cells := []string{
			w.Metric, strconv.FormatUint(w.Changed, 10), strconv.FormatUint(w.Added, 10), strconv.FormatUint(w.Emptied, 10),
		}
		for _, of := range [...]func(*apply.Totals) string{
			func(t *apply.Totals) string { return strconv.FormatUint(t.Readings, 10) },
			func(t *apply.Totals) string { return number(t.Sum) },
			func(t *apply.Totals) string { return number(t.Energy) },
			func(t *apply.Totals) string { return number(t.Advance) },
		} {
			cells = append(cells, of(&w.Before), "→ "+of(&w.After))
		}
		t.add(cells)
	}
	return t.flush()
}
