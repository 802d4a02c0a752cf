//go:build noservers

package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

// upCommand says why a build without servers of its own, as that of the container, has
// no up.
func upCommand(map[string]string) *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Run the whole platform in one process (not in this build)",
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("this build has no servers of its own: run the services as containers " +
				"(docker-compose.yml), or energy run-stream beside a NATS server and Postgres")}
		},
	}
}
