package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/apply"
	"github.com/energy-platform/energy/services/internal/settings"
)

func catalogCommand(environment map[string]string) *cobra.Command {
	c := &cobra.Command{
		Use:   "catalog",
		Short: "The metric catalogue: what metrics mean and what is expected of them",
	}
	return commandsOf(c, catalogShowCommand(environment), catalogDiffCommand(environment), catalogPlanCommand(environment),
		catalogApplyCommand(environment))
}

func catalogShowCommand(environment map[string]string) *cobra.Command {
	var number uint64
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the catalogue in force",
		Long: `show prints the document of the newest epoch of the catalogue, or of the one that
--epoch names, as it was applied. What epochs there are goes to standard error.`,
		Example: "  energy catalog show > catalog.yaml",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := config.Load[settings.Broker](environment)
			if err != nil {
				return usageError{err}
			}
			return withJetStream(c.Context(), s, c.ErrOrStderr(), func(js jetstream.JetStream) error {
				return showCatalog(c.Context(), js, number, c.OutOrStdout(), c.ErrOrStderr())
			})
		},
	}
	c.Flags().Uint64Var(&number, "epoch", 0, "number of the epoch; 0 is the newest")
	return c
}

// withJetStream calls what with the broker, which has to be there: who asks it
// does not wait for it.
func withJetStream(
	ctx context.Context, s settings.Broker, errOut io.Writer, what func(jetstream.JetStream) error,
) error {
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	conn, err := connectNow(ctx, s, "energy", log)
	if err != nil {
		return fmt.Errorf("%w; is the platform running (energy up)? ENERGY_NATS_URL names another NATS server", err)
	}
	defer conn.Close()
	js, err := broker.JetStream(conn)
	if err != nil {
		return err
	}
	if err := settled(ctx, js, log); err != nil {
		return err
	}
	return what(js)
}

// settleTimeout bounds how long a tool waits for a cluster that has lost a server to
// agree on who leads its streams.
const settleTimeout = time.Minute

// settled waits until the streams answer. What else may be wrong with them a tool says
// by itself.
func settled(ctx context.Context, js jetstream.JetStream, log *slog.Logger) error {
	limited, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	return broker.Settle(limited, func(err error) {
		log.WarnContext(ctx, "waiting until NATS has settled", "error", err)
	}, func(ctx context.Context) error {
		if _, err := broker.Open(ctx, js); broker.IsUnsettled(err) {
			return err
		}
		return nil
	})
}

// connectNow connects to the broker, or says why it cannot within seconds.
func connectNow(ctx context.Context, s settings.Broker, name string, log *slog.Logger) (*nats.Conn, error) {
	return broker.Connect(ctx, broker.ConnectConfig{
		URL: s.NATSURL, Name: name, Logger: log, Options: []nats.Option{nats.RetryOnFailedConnect(false)},
	})
}

func showCatalog(ctx context.Context, js jetstream.JetStream, number uint64, out, errOut io.Writer) error {
	store, err := broker.OpenEpochs(ctx, js)
	if err != nil {
		return err
	}
	all, err := store.After(ctx, 0)
	if err != nil {
		return err
	}
	applied, err := store.Applied(ctx)
	if err != nil {
		return err
	}
	for _, e := range all {
		state := ""
		if e.Number > applied {
			state = "  not applied to all that is stored: apply it again"
		}
		fmt.Fprintf(errOut, "epoch %d  since %s%s\n", e.Number, e.Activated.UTC().Format(time.RFC3339), state)
	}
	if number == 0 {
		number = uint64(len(all))
	}
	if number == 0 || number > uint64(len(all)) {
		return fmt.Errorf("there is no epoch %d of the catalogue, the newest is %d", number, len(all))
	}
	_, err = out.Write(all[number-1].Document)
	return err
}

func catalogApplyCommand(environment map[string]string) *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Put a catalogue into force and bring what is stored to it",
		Long: `apply makes the file the next epoch of the catalogue, which services follow at once.
Then it brings what is stored to it: readings of metrics whose rules changed are
judged again, as far as BRONZE holds them, and rows of metrics whose parameters
changed are computed anew. It ends when nothing is behind. What was refused and
now passes enters, what passed and is now refused leaves.

Live traffic goes on meanwhile. Stopped anywhere, apply the same file again to go
on; a file that is in force and applied changes nothing. A file with faults is
refused with all of them. docs/catalog.md describes the file.

` + placesUsage,
		Example: `  energy catalog show > catalog.yaml
  energy catalog apply catalog.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one file, got %d", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return withCatalogTarget(c, environment, data, args[0],
				func(js jetstream.JetStream, store *goldstore.Store, document []byte) error {
					return applyCatalog(c, js, store, document)
				})
		},
	}
	c.Flags().StringVar(&data, "data", defaultData, dataUsage)
	return c
}

// withCatalogTarget calls what with the broker, the database and the document that a
// file holds.
func withCatalogTarget(
	c *cobra.Command, environment map[string]string, data, file string,
	what func(jetstream.JetStream, *goldstore.Store, []byte) error,
) error {
	read, err := parseFile(file)
	if err != nil {
		return err
	}
	return withPlaces(c, environment, data, func(js jetstream.JetStream, store *goldstore.Store) error {
		return what(js, store, []byte(read.Document()))
	})
}

func textLogger(c *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// databaseTimeout bounds how long a database may take to answer at all.
const databaseTimeout = 5 * time.Second

// openStore opens a store that answers: the store itself would wait.
func openStore(ctx context.Context, s settings.Postgres, application string) (*goldstore.Store, error) {
	store, err := goldstore.Open(ctx, s.DatabaseURL.Reveal(), goldstore.Config{
		Application: application, StatementTimeout: s.StatementTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	if err := store.Ping(limited); err != nil {
		store.Close()
		return nil, fmt.Errorf("DATABASE_URL: %w; does Postgres run there?", err)
	}
	return store, nil
}

func applyCatalog(c *cobra.Command, js jetstream.JetStream, store *goldstore.Store, document []byte) error {
	told := ""
	done, err := apply.Run(c.Context(), apply.Deps{
		JetStream: js, Store: store, Logger: textLogger(c),
		Progress: func(p apply.Progress) {
			if line := progressLine(p); line != told {
				fmt.Fprintln(c.ErrOrStderr(), line)
				told = line
			}
		},
	}, document)
	if err != nil {
		return err
	}
	return printApplied(c.OutOrStdout(), done)
}

func progressLine(p apply.Progress) string {
	if p.Unread > 0 {
		return fmt.Sprintf("epoch %d: ingest has to read on in %d streams first; is it running?", p.Epoch.Epoch(), p.Unread)
	}
	return fmt.Sprintf("epoch %d: %d readings judged again; gold has to follow in %d partitions, %d rows are behind",
		p.Epoch.Epoch(), p.Readings, p.Waiting, p.Behind)
}

func printApplied(out io.Writer, p apply.Progress) error {
	made := "is in force already"
	if p.Created {
		made = "is in force since " + p.Epoch.Activated().Format(time.RFC3339)
	}
	fmt.Fprintf(out, "catalogue epoch %d (%.12s) %s\n", p.Epoch.Epoch(), p.Epoch.Hash(), made)
	printChanges(out, p.Changes)
	fmt.Fprintf(out, "judged again        %d readings, %d judgements sent, %d refused\n",
		p.Readings, p.Judgements, p.Refused)
	fmt.Fprintf(out, "behind              %d rows\n", p.Behind)
	if p.Made == nil {
		return nil
	}
	return printWindows(out, p.Made)
}

// printChanges prints which metrics an epoch judges or computes otherwise.
func printChanges(out io.Writer, changes catalog.Changes) {
	names := func(all []string) string {
		if len(all) == 0 {
			return "none"
		}
		return strings.Join(all, ", ")
	}
	judged := names(changes.Judged)
	if changes.Undeclared {
		judged += "; and metrics that are not declared"
	}
	fmt.Fprintf(out, "judged otherwise    %s\n", judged)
	fmt.Fprintf(out, "computed otherwise  %s\n", names(changes.Folded))
}
