package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/localpg"
)

const (
	defaultData = ".energy" // folder of energy up
	upDatabase  = "energy"  // its database
	dataUsage   = "folder of the energy up whose private Postgres is meant; not looked at when DATABASE_URL is set"
)

func postgresFolder(data string) string { return filepath.Join(data, "postgres") }

// natsFile is where energy up notes the address of its NATS server.
func natsFile(data string) string { return filepath.Join(data, "nats.url") }

// databaseOf returns DATABASE_URL or, where it is not set, the address of the
// private database of the energy up that runs on a folder.
func databaseOf(environment map[string]string, data string) (string, error) {
	if given := environment["DATABASE_URL"]; given != "" {
		return given, nil
	}
	found, err := localpg.Find(postgresFolder(data), upDatabase)
	if err != nil {
		return "", fmt.Errorf("DATABASE_URL is not set, and of energy up: %w; "+
			"start energy up, name its folder by --data, or set DATABASE_URL", err)
	}
	return found, nil
}

// withDatabase completes an environment by the database of energy up, and by its broker
// where none is told. Broker and database belong together: one that is told its broker has
// to be told the database too, or the folder.
func withDatabase(environment map[string]string, data string, named bool) (map[string]string, error) {
	if environment["DATABASE_URL"] != "" || environment["ENERGY_NATS_URL"] != "" && !named {
		return environment, nil
	}
	found, err := databaseOf(environment, data)
	if err != nil {
		return nil, err
	}
	out := maps.Clone(environment)
	if out == nil {
		out = make(map[string]string)
	}
	out["DATABASE_URL"] = found
	if out["ENERGY_NATS_URL"] == "" {
		address, err := os.ReadFile(natsFile(data))
		if err != nil {
			return nil, fmt.Errorf("ENERGY_NATS_URL is not set, and of energy up: %w; "+
				"start energy up of this build, or set ENERGY_NATS_URL", err)
		}
		out["ENERGY_NATS_URL"] = string(address)
	}
	return out, nil
}

func sqlURLCommand(environment map[string]string) *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "sql-url",
		Short: "Print the address of the gold store, for psql, Grafana and BI tools",
		Long: `sql-url prints DATABASE_URL or, where that is not set, the address of the private
Postgres of the energy up that runs on the folder --data. Its port changes at every
start. The address holds the password of its superuser: make a role of your own for
others (docs/sql.md).`,
		Example: "  psql \"$(energy sql-url)\"\n  energy sql-url --data /var/lib/energy",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			address, err := databaseOf(environment, data)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), address)
			return err
		},
	}
	c.Flags().StringVar(&data, "data", defaultData, dataUsage)
	return c
}

func psqlCommand(environment map[string]string) *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "psql [-- ARGUMENT...]",
		Short: "Open psql on the gold store",
		Long: `psql runs this machine's psql on the database that energy sql-url names. What
stands behind -- goes to psql.`,
		Example: `  energy psql
  energy psql -- -c 'SELECT * FROM gold.latest'`,
		RunE: func(c *cobra.Command, args []string) error {
			address, err := databaseOf(environment, data)
			if err != nil {
				return err
			}
			return psql(c, address, environment, args)
		},
	}
	c.Flags().StringVar(&data, "data", defaultData, dataUsage)
	return c
}

// psql runs psql. The password goes by the environment: others can read arguments.
// Interrupts are for psql, which ends a statement with them.
func psql(c *cobra.Command, address string, environment map[string]string, args []string) error {
	program, err := exec.LookPath("psql")
	if err != nil {
		return fmt.Errorf("%w: install it (on Debian `apt-get install postgresql-client`), "+
			"or use another client with the address that energy sql-url prints", err)
	}
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("DATABASE_URL is no URL: give postgres://user:password@host:port/database")
	}
	password, given := u.User.Password()
	if given {
		u.User = url.User(u.User.Username())
	}
	cmd := exec.CommandContext(context.WithoutCancel(c.Context()), program, append([]string{u.String()}, args...)...)
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if given {
		cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("psql: %w", err)
	}
	return nil
}
