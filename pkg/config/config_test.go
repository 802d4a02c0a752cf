package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/config"
)

type inner struct {
	URL config.Secret `env:"DATABASE_URL,required,notEmpty" doc:"where gold is kept"`
}

type settings struct {
	inner
	Store  inner2
	Budget int           `env:"BUDGET" envDefault:"64" doc:"bytes"`
	Linger time.Duration `env:"LINGER" envDefault:"20ms" doc:"wait"`
}

type inner2 struct {
	Port int `env:"PORT" envDefault:"5432" doc:"port"`
}

func (s *settings) Validate() error {
	if s.Budget < 1 {
		return errors.New("BUDGET must be positive")
	}
	return nil
}

func TestLoadReportsAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Load[struct {
		Store  inner
		Linger time.Duration `env:"LINGER" envDefault:"20ms" doc:"how long to wait"`
		Budget int           `env:"BUDGET" doc:"bytes"`
	}](map[string]string{"LINGER": "soon", "BUDGET": "many"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"DATABASE_URL", "LINGER", "how long to wait", "BUDGET"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s:\n%v", want, err)
		}
	}
}

func TestLoadUsesDefaultsAndValidates(t *testing.T) {
	t.Parallel()
	s, err := config.Load[settings](map[string]string{"BUDGET": "0"})
	if err == nil || !strings.Contains(err.Error(), "BUDGET must be positive") {
		t.Errorf("error is %v", err)
	}
	if s.Linger != 20*time.Millisecond || s.Store.Port != 5432 {
		t.Errorf("defaults are %+v", s)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	secret := config.Secret("hunter2")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "url", secret, "in", struct{ S config.Secret }{secret})
	printed := fmt.Sprintf("%v %s %+v %#v %s", secret, secret, secret, secret, log.String())
	if strings.Contains(printed, "hunter2") {
		t.Errorf("the secret shows: %s", printed)
	}
	if secret.Reveal() != "hunter2" {
		t.Error("Reveal does not give it")
	}
}
