package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/health"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// outageFrom is the share of the messages after which Postgres goes away.
const outageFrom = 0.2

// outage stops Postgres for a while under load. Readers must be told, with a message for
// people, health must say why, and producers must go on.
func (w *world) outage(ctx context.Context) error {
	w.feeder.gate.let(1)
	if err := w.feeder.gate.reached(ctx, outageFrom); err != nil {
		return err
	}
	if err := w.postgres.stop(ctx); err != nil {
		return err
	}
	before, over := w.feeder.acknowledged(), time.Now().Add(w.Outage)
	told := until(ctx, func() error { return w.told(ctx) })
	if told == nil {
		told = pause(ctx, time.Until(over))
	}
	if told == nil {
		told = w.told(ctx)
	}
	during := w.feeder.acknowledged() - before
	if err := errors.Join(told, w.postgres.open(ctx)); err != nil {
		return err
	}
	w.Logger.InfoContext(ctx, "Postgres was away", "for", w.Outage, "messages_acknowledged_meanwhile", during)
	if during == 0 {
		return errors.New("producers did not go on while Postgres was away")
	}
	return nil
}

// told asks as readers and operators do. It returns nil when both are told what is wrong.
func (w *world) told(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, conn, err := w.main.client()
	if err != nil {
		return err
	}
	defer conn.Close()
	answers, err := client.QueryAggregates(ctx, &energyv1.QueryAggregatesRequest{
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(time.Hour)}},
	})
	if err == nil {
		_, err = answers.Recv()
	}
	const said = "the gold store does not answer, try again"
	if s := status.Convert(err); s.Code() != codes.Unavailable || !strings.Contains(s.Message(), said) {
		return fmt.Errorf("a reader is told: %w", err)
	}
	for _, s := range w.main.services {
		if s.store == nil {
			continue
		}
		if err := s.troubled(ctx); err != nil {
			return err
		}
	}
	return nil
}

// troubled returns nil when the service's health says that Postgres is away.
func (s *service) troubled(ctx context.Context) error {
	is, code, err := s.health(ctx)
	if err != nil {
		return err
	}
	for _, c := range is.Components {
		if c.Name == "postgres" && c.State == health.Down && c.Detail != "" && code == http.StatusServiceUnavailable {
			return nil
		}
	}
	return fmt.Errorf("the health of %s does not say that Postgres is away: %+v", s.Name, is)
}
