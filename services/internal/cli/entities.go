package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/entityfile"
)

func entitiesCommand(getenv func(string) string) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use:   "entities",
		Short: "List and change the registry of entities",
		Long: `entities keeps the registry: names, zones, parents and labels of entities, each
from a date on. It decides how answers are selected, grouped and dated, at once
and for the past too; no stored number changes. Entities that are not registered
work, in UTC.`,
		Example: `  energy entities load entities.csv
  energy entities list --parent site-1 --at 2026-03-01T00:00:00+01:00
  energy entities list --format csv > entities.csv
  energy entities delete meter-7 --valid-from 2026-03-01

  entities.csv:
    id,valid_from,name,zone,parent,label.tariff
    meter-7,,Cellar,Europe/Paris,site-1,night
    meter-7,2026-03-01,Cellar,Europe/Paris,site-2,night`,
	}
	c.PersistentFlags().StringVar(&server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	return commandsOf(c, listEntities(&server), loadEntities(&server), deleteEntity(&server))
}

func listEntities(server *string) *cobra.Command {
	var (
		req        energyv1.ListEntitiesRequest
		at, format string
	)
	c := &cobra.Command{
		Use:   "list",
		Short: "List records of entities",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if at != "" {
				t, err := entityTime("--at", at)
				if err != nil {
					return err
				}
				req.ValidAt = t
			}
			write, ok := entityWriters[format]
			if !ok {
				return usageError{fmt.Errorf("--format %q is not known: give table, csv or json", format)}
			}
			client, closeConn, err := dialRegistry(*server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was read
			records, err := entityRecords(c.Context(), client, &req)
			if err != nil {
				return explain(*server, err)
			}
			return write(c.OutOrStdout(), records)
		},
	}
	flags := c.Flags()
	flags.StringSliceVar(&req.Ids, "entity", nil, "ids of entities; all without")
	flags.StringSliceVar(&req.Parents, "parent", nil, "ids of parents, one of which an entity has")
	flags.StringArrayVar(&req.Labels, "label", nil, "label as key=value, all of which an entity has")
	flags.StringVar(&at, "at", "", "only what is valid then: an RFC 3339 time or now")
	flags.StringVar(&format, "format", "table", "table, csv or json (one object a line)")
	return c
}

// entityRecords returns the records that are asked for.
func entityRecords(
	ctx context.Context, client energyv1.RegistryServiceClient, req *energyv1.ListEntitiesRequest,
) (records []entity.Record, err error) {
	stream, err := client.ListEntities(ctx, req)
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		records = append(records, wire.EntityRecord(m.GetEntity()))
	}
}

// entityWriters print records by the name of the format.
var entityWriters = map[string]func(io.Writer, []entity.Record) error{
	"table": entityTable, "csv": entityfile.WriteCSV, "json": entityfile.WriteJSON,
}

func entityTable(out io.Writer, records []entity.Record) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "entity\tvalid_from\tname\tzone\tparent\tlabels")
	for i := range records {
		r := &records[i]
		labels := make([]string, 0, len(r.Labels))
		for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
			labels = append(labels, key+"="+r.Labels[key])
		}
		fmt.Fprintln(w, strings.Join([]string{
			r.ID, entityfile.FormatFrom(r), r.Name, r.Zone, r.Parent, strings.Join(labels, " "),
		}, "\t"))
	}
	return w.Flush()
}

// entityChunk is how many records one call registers.
const entityChunk = 5000

func loadEntities(server *string) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "load FILE",
		Short: "Register the records of a file; the same again changes nothing",
		Long: `load registers the records of a CSV or JSON file (- is standard input). A record
with the id and valid_from of one that is there takes its place; others stay. A
file with a fault changes nothing, but that more than 5,000 records go in parts,
of which the store may refuse one for parents that lead in a circle.

A valid_from in CSV is an RFC 3339 time or a date, which is its midnight in the
record's zone. Empty means that the record has always held.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one file, got %d; - is standard input", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			records, err := readEntities(c.InOrStdin(), args[0], format)
			if err != nil {
				return usageError{err}
			}
			client, closeConn, err := dialRegistry(*server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was answered
			var inserted, updated, unchanged uint32
			for chunk := range slices.Chunk(records, entityChunk) {
				req := &energyv1.PutEntitiesRequest{}
				for i := range chunk {
					req.Entities = append(req.Entities, wire.Entity(&chunk[i]))
				}
				res, err := client.PutEntities(c.Context(), req)
				if err != nil {
					return explain(*server, err)
				}
				inserted, updated = inserted+res.GetInserted(), updated+res.GetUpdated()
				unchanged += res.GetUnchanged()
			}
			fmt.Fprintf(c.OutOrStdout(), "%d records: %d new, %d changed, %d as they were\n",
				len(records), inserted, updated, unchanged)
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "", "csv or json; by the file's name without")
	return c
}

func readEntities(in io.Reader, name, format string) ([]entity.Record, error) {
	f := entityfile.Format(format)
	if format == "" {
		if name == "-" {
			return nil, errors.New("standard input has no name: say --format csv or json")
		}
		var err error
		if f, err = entityfile.FormatOf(name); err != nil {
			return nil, err
		}
	}
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	records, err := entityfile.Read(in, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return records, nil
}

func deleteEntity(server *string) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "delete ID",
		Short: "Take a record out: what was valid before is valid on",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one id, got %d", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := entityfile.ParseFrom(from, ""); err != nil {
				return usageError{fmt.Errorf("--%w", err)}
			}
			client, closeConn, err := dialRegistry(*server)
			if err != nil {
				return err
			}
			defer closeConn() //nolint:errcheck // all was answered
			records, err := entityRecords(c.Context(), client, &energyv1.ListEntitiesRequest{Ids: args})
			if err != nil {
				return explain(*server, err)
			}
			r, err := recordFrom(records, args[0], from)
			if err != nil {
				return err
			}
			res, err := client.DeleteEntities(c.Context(), &energyv1.DeleteEntitiesRequest{
				Keys: []*energyv1.EntityKey{{Id: r.GetId(), ValidFrom: r.GetValidFrom()}},
			})
			if err != nil {
				return explain(*server, err)
			}
			if res.GetDeleted() == 0 {
				return fmt.Errorf("somebody else has taken out the record of %s meanwhile", args[0])
			}
			fmt.Fprintln(c.OutOrStdout(), "1 record taken out")
			return nil
		},
	}
	c.Flags().StringVar(&from, "valid-from", "",
		"the record's valid_from, an RFC 3339 time or a date in the record's zone; without, the record that has always held")
	return c
}

// recordFrom returns the record of an entity that is valid from a time, a date in
// the record's own zone, or always.
func recordFrom(records []entity.Record, id, from string) (*energyv1.Entity, error) {
	var there []string
	for i := range records {
		r := &records[i]
		at, err := entityfile.ParseFrom(from, r.Zone)
		if err != nil {
			return nil, err
		}
		if at == r.ValidFrom {
			return wire.Entity(r), nil
		}
		there = append(there, cmp.Or(entityfile.FormatFrom(r), "one that has always held"))
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("%s has no record", id)
	}
	return nil, fmt.Errorf("%s has no record that is valid from %s; %s has %d records: %s",
		id, cmp.Or(from, "always"), id, len(there), strings.Join(there, ", "))
}

// entityTime reads a time of the registry's flags. A date would be another time in
// each entity's zone.
func entityTime(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "now" {
		return timestamppb.Now(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s %q is no RFC 3339 time such as 2026-03-01T00:00:00+01:00", flag, text)}
	}
	return timestamppb.New(t), nil
}
