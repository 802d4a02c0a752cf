package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/ask"
)

// selection is the flags of commands that pick series.
type selection struct {
	server            string
	entities, metrics []string
	parents, labels   []string
	zone              string
}

// add adds the flags, with their values completed by what the server has.
func (s *selection) add(c *cobra.Command, getenv func(string) string) {
	flags := c.Flags()
	flags.StringVar(&s.server, "server", valueOr(getenv, "ENERGY_QUERY_ADDRESS", defaultServer), serverUsage)
	flags.StringSliceVar(&s.entities, "entity", nil, "entity ids; all when not given")
	flags.StringSliceVar(&s.metrics, "metric", nil, "metrics; all when not given")
	flags.StringSliceVar(&s.parents, "parent", nil, "ids of parents, one of which an entity belongs to")
	flags.StringArrayVar(&s.labels, "label", nil, "label as key=value, all of which an entity has")
	flags.StringVar(&s.zone, "zone", "UTC", "IANA zone of times that are given and printed")
	s.complete(c)
}

func (s *selection) selector() (*energyv1.Selector, error) {
	for _, label := range s.labels {
		if _, err := ask.Label(label); err != nil {
			return nil, fmt.Errorf("--label %w", err)
		}
	}
	return &energyv1.Selector{EntityIds: s.entities, Metrics: s.metrics, Parents: s.parents, Labels: s.labels}, nil
}

// location returns the zone of times.
func (s *selection) location() (*time.Location, error) {
	zone, err := ask.Zone(s.zone)
	if err != nil {
		return nil, fmt.Errorf("--zone %w", err)
	}
	return zone, nil
}

// seen notes which of the names that were asked for have been answered.
type seen struct{ entities, metrics map[string]bool }

func newSeen() *seen { return &seen{make(map[string]bool), make(map[string]bool)} }

func (s *seen) note(entity, metric string) {
	s.entities[entity], s.metrics[metric] = true, true
}

// missing tells which names that were asked for have no answer. Groups do not
// say which entities are in them.
func (s *selection) missing(errOut io.Writer, answered *seen, grouped bool) {
	names := []struct {
		what  string
		asked []string
		found map[string]bool
	}{{"entity", s.entities, answered.entities}, {"metric", s.metrics, answered.metrics}}
	for _, n := range names {
		if grouped && n.what == "entity" {
			continue
		}
		for _, name := range n.asked {
			if !n.found[name] {
				fmt.Fprintf(errOut, "energy: %s %q has no readings here; energy series lists what there is\n", n.what, name)
			}
		}
	}
}

// Bounds of what completion asks for: a shell waits for it at every press.
const (
	completionTimeout = 2 * time.Second
	completionSeries  = 200
)

// complete completes the values of --entity and --metric.
func (s *selection) complete(c *cobra.Command) {
	for name, get := range map[string]func(*energyv1.SeriesKey) string{
		"entity": (*energyv1.SeriesKey).GetEntityId, "metric": (*energyv1.SeriesKey).GetMetric,
	} {
		err := c.RegisterFlagCompletionFunc(name,
			func(c *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
				ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
				defer cancel()
				names, err := s.names(ctx, text, get)
				if err != nil {
					return nil, cobra.ShellCompDirectiveError
				}
				return names, cobra.ShellCompDirectiveNoFileComp
			})
		if err != nil { // only for a flag that is not there
			panic(err)
		}
	}
}

// names returns what the series that a text occurs in have and that begins with
// it.
func (s *selection) names(ctx context.Context, text string, get func(*energyv1.SeriesKey) string) ([]string, error) {
	client, closeConn, err := dial(s.server)
	if err != nil {
		return nil, err
	}
	defer closeConn() //nolint:errcheck // all was read
	req := &energyv1.ListSeriesRequest{Limit: completionSeries}
	if text != "" {
		req.Contains = []string{text}
	}
	stream, err := client.ListSeries(ctx, req)
	if err != nil {
		return nil, err
	}
	var names []string
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return slices.Compact(names), nil
		}
		if err != nil {
			return nil, err
		}
		if name := get(r.GetSeries()); strings.HasPrefix(name, text) {
			names = append(names, name)
		}
	}
}
