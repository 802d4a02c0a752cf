package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/health"
)

// healthPause is how long services are left alone between two questions of --wait.
const healthPause = 500 * time.Millisecond

func healthCommand(getenv func(string) string) *cobra.Command {
	var addresses []string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "health",
		Short: "Show the health of services and what they depend on",
		Long: `health asks services for the state of each thing they depend on. Its exit status
is 1 when a service is down or does not answer. With --wait it asks until all
are ok, and its exit status is 1 when they are not in time.`,
		Example: `  # the platform as started by energy up
  energy health

  # four services of their own
  energy health --address 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083

  # before work begins that needs them
  energy health --wait 1m`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), wait)
			defer cancel()
			for {
				statuses, faults := askAll(c.Context(), addresses, wait > 0)
				if faults == nil || !pause(ctx) {
					return errors.Join(tellStatuses(c.OutOrStdout(), statuses), faults)
				}
			}
		},
	}
	address := valueOr(getenv, "ENERGY_HTTP_LISTEN", "127.0.0.1:8080")
	c.Flags().StringSliceVar(&addresses, "address", []string{address}, "HTTP addresses of services (ENERGY_HTTP_LISTEN)")
	c.Flags().DurationVar(&wait, "wait", 0, "how long to wait until all services are ok")
	return c
}

// pause waits until it is time to ask again, or reports that ctx ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(healthPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// askAll asks each service. Faults are those that are down or do not answer, and, if
// all shall be ok, those that are not.
func askAll(ctx context.Context, addresses []string, ok bool) (statuses []health.Status, faults error) {
	for _, address := range addresses {
		s, err := health.Ask(ctx, address)
		switch {
		case err != nil:
			err = fmt.Errorf("--address %s: %w; is the platform running? start it with: energy up", address, err)
		case s.State == health.Down, ok && s.State != health.OK:
			err = fmt.Errorf("%s at %s is %s", s.Service, address, s.State)
		}
		if s.Service != "" {
			statuses = append(statuses, s)
		}
		faults = errors.Join(faults, err)
	}
	return statuses, faults
}

// tellStatuses prints a table with a line for each component.
func tellStatuses(out io.Writer, statuses []health.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "service\tstate\tcomponent\tstate\tsince\tdetail")
	for _, s := range statuses {
		for _, component := range s.Components {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Service, s.State, component.Name, component.State,
				component.Since.Format(time.RFC3339), component)
		}
	}
	return w.Flush()
}
