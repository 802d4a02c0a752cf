package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/energy-platform/energy/services/internal/app"
	"github.com/energy-platform/energy/services/internal/settings"
)

func TestMainAnswersWhatItIsCalledWith(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, environment []string
		status            int
		out, err          string
	}{
		{[]string{"--help"}, nil, 0, "ENERGY_INGRESS_SHARD               number of the ingress stream", ""},
		{[]string{"-h"}, nil, 0, "(default nats://127.0.0.1:4222)", ""},
		{[]string{"--nats", "x"}, nil, 2, "", `takes no arguments but health, got ["--nats" "x"]: its settings are environment variables`},
		{nil, []string{"ENERGY_LINGER=soon"}, 2, "", "ENERGY_LINGER"},
		{[]string{"health"}, []string{"ENERGY_HTTP_LISTEN=127.0.0.1:1"}, 1, "", "ingest: no answer from 127.0.0.1:1"},
		{nil, nil, 1, "", "not today"},
	} {
		var out, errOut bytes.Buffer
		status := app.Main("ingest", app.Process{Args: c.args, Environment: c.environment, Out: &out, Err: &errOut},
			func(context.Context, settings.Ingest, *slog.Logger) error { return errors.New("not today") })
		if status != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(errOut.String(), c.err) {
			t.Errorf("%v ended with %d:\n%s%s", c.args, status, &out, &errOut)
		}
	}
}
