package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/health"
)

// healthTimeout bounds the answer of one service.
const healthTimeout = 5 * time.Second

func healthCommand(getenv func(string) string) *cobra.Command {
	var addresses []string
	c := &cobra.Command{
		Use:   "health",
		Short: "Show the health of services and what they depend on",
		Long: `health asks services for the state of each thing they depend on. Its exit status
is 1 when a service is down or does not answer.`,
		Example: `  # the platform as started by energy up
  energy health

  # four services of their own
  energy health --address 127.0.0.1:8080,127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "service\tstate\tcomponent\tstate\tsince\tdetail")
			var faults []error
			for _, address := range addresses {
				s, err := askHealth(c.Context(), address)
				if err != nil {
					faults = append(faults, err)
					continue
				}
				for _, component := range s.Components {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Service, s.State, component.Name, component.State,
						component.Since.Format(time.RFC3339), component.Detail)
				}
				if s.State == health.Down {
					faults = append(faults, fmt.Errorf("%s at %s is down", s.Service, address))
				}
			}
			return errors.Join(append(faults, w.Flush())...)
		},
	}
	address := valueOr(getenv, "ENERGY_HTTP_LISTEN", "127.0.0.1:8080")
	c.Flags().StringSliceVar(&addresses, "address", []string{address}, "HTTP addresses of services (ENERGY_HTTP_LISTEN)")
	return c
}

func askHealth(ctx context.Context, address string) (s health.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/health", nil)
	if err != nil {
		return s, usageError{fmt.Errorf("--address %q: %w", address, err)}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, fmt.Errorf("no answer from %s: %w; is the platform running? start it with: energy up", address, err)
	}
	err = json.NewDecoder(res.Body).Decode(&s)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return s, fmt.Errorf("answer from %s with status %s is no health report: %w", address, res.Status, err)
	}
	return s, nil
}
