//go:build !noservers

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/app"
	"github.com/energy-platform/energy/services/internal/publish"
	"github.com/energy-platform/energy/services/internal/source"
)

// pollInterval is how often the pipeline is asked whether it has caught up.
const pollInterval = 50 * time.Millisecond

// loadFiles publishes files as a producer would, waits until gold has every
// reading, and prints daily energy and peak power.
func (u *up) loadFiles(ctx context.Context, p *app.Platform) error {
	fmt.Fprintln(u.out, "\npublishing", strings.Join(u.load, ", "))
	receipt, err := publish.Run(ctx, publish.Options{
		Files: u.load, Mapping: u.source, Conn: p.Conn(), Progress: u.errOut,
	})
	fmt.Fprintln(u.out, receipt)
	if err != nil && !errors.Is(err, publish.ErrBadRows) {
		return err
	}
	client, closeConn, err := dial(u.settings.GRPCListen, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	defer closeConn() //nolint:errcheck // all was read
	began := time.Now()
	if err := awaitGold(ctx, client); err != nil {
		return explain(u.settings.GRPCListen, err)
	}
	took := time.Since(began).Round(time.Millisecond)
	fmt.Fprintf(u.out, "gold has them all, %s after the last acknowledgement\n\n", took)
	zone := cmp.Or(u.source.Time.Zone, "UTC")
	entities := entitiesOf(&u.source)
	if err := printDays(ctx, u.out, client, zone, entities); err != nil {
		return explain(u.settings.GRPCListen, err)
	}
	return explain(u.settings.GRPCListen, u.next(ctx, client, zone, entities))
}

// entitiesOf returns the entities that a mapping names, none when they stand in
// the file.
func entitiesOf(m *source.Mapping) (entities []string) {
	for _, c := range m.Columns {
		if c.Entity.Constant == "" {
			return nil
		}
		entities = append(entities, c.Entity.Constant)
	}
	slices.Sort(entities)
	return slices.Compact(entities)
}

// awaitGold returns when gold has every reading that was stored before.
func awaitGold(ctx context.Context, client energyv1.QueryServiceClient) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		done, err := caughtUp(ctx, client)
		if err != nil && status.Code(err) != codes.Unavailable || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// next tells how to query next, by a series that is there.
func (u *up) next(ctx context.Context, client energyv1.QueryServiceClient, zone string, entities []string) error {
	stream, err := client.ListSeries(ctx, &energyv1.ListSeriesRequest{Selector: &energyv1.Selector{EntityIds: entities}})
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(u.out, "no reading of the files counts: energy status tells what refused them\n\nserving until Ctrl-C")
		return nil
	}
	if err != nil {
		return err
	}
	server := ""
	if u.settings.GRPCListen != defaultServer {
		server = " --server " + u.settings.GRPCListen
	}
	s := first.GetSeries()
	fmt.Fprintf(u.out, `
ask next, in another terminal (energy is bin/energy):
  energy query%[1]s --entity %[2]s --metric %[3]s --window 1h --zone %[4]s
  energy query%[1]s --window month --zone %[4]s --format csv
  energy series%[1]s
  energy status%[1]s
  energy --help

serving until Ctrl-C
`, server, s.GetEntityId(), s.GetMetric(), zone)
	return nil
}
