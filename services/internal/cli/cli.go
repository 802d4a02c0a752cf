// Package cli is the energy command: one file a subcommand.
//
// Commands write answers to Out and everything else to Err. The exit status is
// 0 when all went well, 1 when something failed, and 2 when the call was wrong.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/services/internal/generate"
	"github.com/energy-platform/energy/services/internal/publish"
)

// Streams is where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// usageError is a call that was wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs a command line and returns the process's exit status.
func Main(args, environment []string, s Streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := New(config.Environment(environment))
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(s.Err, "energy: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		return 2
	}
	return 1
}

// New returns the root command. Environment is where settings come from.
func New(environment map[string]string) *cobra.Command {
	root := &cobra.Command{
		Use:   "energy",
		Short: "Meter and sensor readings in, numbers to bill and decide by out",
		Long: `energy runs the energy platform and talks to it.

Producers publish readings (entity, metric, time, value, unit) to NATS. The
platform refines them into gold: consumption, power and quality per window,
the same bytes whatever order, repetition or crash they came through.`,
		Example: `  # everything in one process, with data in .energy/
  energy up

  # publish a file, ask for daily energy, see how the pipeline is
  energy publish docs/data/household_power_consumption.txt.gz --mapping docs/data/household.yaml
  energy query --entity sceaux --metric active_power_mean --window day --zone Europe/Paris
  energy status`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	getenv := func(key string) string { return environment[key] }
	return commandsOf(root,
		upCommand(environment),
		runStreamCommand(environment),
		migrateCommand(environment),
		catalogCommand(environment),
		publish.Command(getenv),
		generate.Command(),
		queryCommand(getenv),
		seriesCommand(getenv),
		entitiesCommand(getenv),
		quarantineCommand(getenv),
		latestCommand(getenv),
		explainCommand(getenv),
		watchCommand(getenv),
		sqlURLCommand(environment),
		psqlCommand(environment),
		statusCommand(getenv),
		runBatchCommand(environment),
		batchesCommand(getenv),
		verifyCommand(environment),
		healthCommand(getenv),
		settingsCommand(),
	)
}

// commandsOf makes a command one of commands: alone it shows its help, and a name that is
// none of theirs is refused.
func commandsOf(c *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		mend := fmt.Sprintf("see %s --help", c.CommandPath())
		if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
			mend = fmt.Sprintf("did you mean %s?", strings.Join(similar, " or "))
		}
		return usageError{fmt.Errorf("%s has no command %q; %s", c.CommandPath(), args[0], mend)}
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(commands...)
	return c
}

// noArgs refuses arguments with the command's name.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", c.CommandPath(), args)}
	}
	return nil
}

// valueOr returns the variable's value, or otherwise where it is not set.
func valueOr(getenv func(string) string, name, otherwise string) string {
	if v := getenv(name); v != "" {
		return v
	}
	return otherwise
}
