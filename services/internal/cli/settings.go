package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/services/internal/settings"
)

func settingsCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:     "settings",
		Short:   "Print the settings of all services",
		Long:    "settings prints every environment variable that a service reads, with its default and meaning.",
		Example: "  energy settings\n  energy settings --format env > .env",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := settings.Render(format)
			if err != nil {
				return usageError{err}
			}
			_, err = fmt.Fprint(c.OutOrStdout(), text)
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "markdown", "markdown or env")
	return c
}
