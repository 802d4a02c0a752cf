package cli

import (
	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/telemetry"
	"github.com/energy-platform/energy/services/internal/app"
	"github.com/energy-platform/energy/services/internal/settings"
)

func runStreamCommand(environment map[string]string) *cobra.Command {
	return &cobra.Command{
		Use:   "run-stream",
		Short: "Run the four services in one process against given servers",
		Long: `run-stream runs ingest, silver-cleaner, gold-aggregator and query in one process
against the broker at ENERGY_NATS_URL and the database at DATABASE_URL, which
energy migrate has made ready. It logs JSON lines until it is told to stop.`,
		Example: "  DATABASE_URL=postgres://energy@db/energy ENERGY_NATS_URL=nats://broker:4222 energy run-stream",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := config.Load[settings.All](environment)
			if err != nil {
				return usageError{err}
			}
			log := app.Logger(c.ErrOrStderr(), s.LogLevel).With("service", "energy")
			telemetry.LogErrors(log)
			return app.RunAll(c.Context(), s, log, app.Extras{})
		},
	}
}
