package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// reconnectInterval is how long `energy watch` waits before it takes up a
// broken connection again.
const reconnectInterval = time.Second

func watchCommand(getenv func(string) string) *cobra.Command {
	var f queryFlags
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show aggregates as they change",
		Long: `watch prints the windows of a selection anew whenever readings change them, until
it is told to stop. When the connection breaks it goes on where it was; nothing
is missed.`,
		Example: `  energy watch --entity sceaux --window 15m --zone Europe/Paris
  energy watch --parent site-1 --metric active_energy --window day --zone own --format json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.watch(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.spans(c, getenv)
	return c
}

func (f *queryFlags) watch(ctx context.Context, out, errOut io.Writer) error {
	zone, err := f.location()
	if err != nil {
		return usageError{err}
	}
	req, err := f.request(zone)
	if err != nil {
		return usageError{err}
	}
	windows, err := f.forms(zone).output(f.format, out)
	if err != nil {
		return usageError{err}
	}
	client, closeConn, err := dial(f.server)
	if err != nil {
		return err
	}
	defer closeConn() //nolint:errcheck // all was read
	token := ""
	for {
		err := watchOnce(ctx, client, req, &token, func(r *energyv1.QueryAggregatesResponse) error {
			if err := each(r, windows.write); err != nil {
				return err
			}
			return windows.flush()
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case status.Code(err) != codes.Unavailable:
			return explain(f.server, err)
		}
		fmt.Fprintf(errOut, "energy: %v; trying again\n", explain(f.server, err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectInterval):
		}
	}
}

// watchOnce watches until the connection breaks. Token is moved behind what
// was printed.
func watchOnce(
	ctx context.Context, client energyv1.QueryServiceClient, req *energyv1.QueryAggregatesRequest, token *string,
	show func(*energyv1.QueryAggregatesResponse) error,
) error {
	stream, err := client.WatchAggregates(ctx, &energyv1.WatchAggregatesRequest{
		Selector: req.GetSelector(), Window: req.GetWindow(), ResumeToken: *token,
	})
	if err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if r.GetSeries() != nil {
			err := show(&energyv1.QueryAggregatesResponse{
				Series: r.GetSeries(), Kind: r.GetKind(), EnergyUnit: r.GetEnergyUnit(), PowerUnit: r.GetPowerUnit(),
				Aggregates: r.GetAggregates(),
			})
			if err != nil {
				return err
			}
		}
		if r.GetResumeToken() != "" {
			*token = r.GetResumeToken()
		}
	}
}
