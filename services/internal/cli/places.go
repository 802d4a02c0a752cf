package cli

import (
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/goldstore"
)

// withPlaces calls what with the broker and the database of the environment, or of
// the folder data, which have to be there.
func withPlaces(
	c *cobra.Command, environment map[string]string, data string,
	what func(jetstream.JetStream, *goldstore.Store) error,
) error {
	complete, err := withDatabase(environment, data, c.Flags().Changed("data"))
	if err != nil {
		return err
	}
	s, err := config.Load[target](complete)
	if err != nil {
		return usageError{err}
	}
	return withJetStream(c.Context(), s.Broker, c.ErrOrStderr(), func(js jetstream.JetStream) error {
		store, err := openStore(c.Context(), s.Postgres, c.CommandPath())
		if err != nil {
			return err
		}
		defer store.Close()
		return what(js, store)
	})
}

// streamOf returns the name of the ingress stream of that number in stamps.
func streamOf(number uint32) string { return broker.IngressStream(int(number)) }
