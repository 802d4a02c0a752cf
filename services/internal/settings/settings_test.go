package settings_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/services/internal/settings"
)

// TestDocsAreCurrent holds docs/settings.md and .env.example to the structs.
func TestDocsAreCurrent(t *testing.T) {
	t.Parallel()
	for format, file := range map[string]string{
		"markdown": "../../../docs/settings.md", "env": "../../../.env.example",
	} {
		want, err := settings.Render(format)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not current: run energy settings --format %s > %s", file, format, file)
		}
	}
}

// TestComposeTakesWhatIsDocumented holds the variables of docker-compose.yml, and their
// defaults, against the table.
func TestComposeTakesWhatIsDocumented(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(map[string]string)
	for _, v := range regexp.MustCompile(`\$\{(\w+):-([^}]*)\}`).FindAllStringSubmatch(string(file), -1) {
		if other, ok := taken[v[1]]; ok && other != v[2] {
			t.Errorf("%s is %q by default, and %q", v[1], v[2], other)
		}
		taken[v[1]] = v[2]
	}
	for _, v := range config.Variables[settings.Containers]() {
		if value, ok := taken[v.Name]; !ok || value != v.Default {
			t.Errorf("%s is documented with default %q; docker-compose.yml has %q, %t", v.Name, v.Default, value, ok)
		}
		delete(taken, v.Name)
	}
	for name := range taken {
		t.Errorf("%s is not documented", name)
	}
	if n := strings.Count(string(file), "${"); n != len(regexp.MustCompile(`\$\{\w+:-`).FindAllString(string(file), -1)) {
		t.Error("docker-compose.yml has variables without a default")
	}
}

func TestFaultsAreNamedAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Load[settings.Aggregator](map[string]string{
		"DATABASE_URL": "mysql://db", "ENERGY_LINGER": "2h", "ENERGY_BYTE_BUDGET": "12", "ENERGY_LOG_LEVEL": "loud",
		"ENERGY_GRACE": "-1s", "ENERGY_PROFILE_LISTEN": "0.0.0.0:6060",
		"ENERGY_HTTP_LISTEN": "8080", "ENERGY_CACHE_BYTES": "-1", "ENERGY_PARENTS_QUIET": "-1s",
	})
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, name := range []string{
		"DATABASE_URL", "ENERGY_LINGER", "ENERGY_BYTE_BUDGET", "ENERGY_BATCH_BYTES", "ENERGY_LOG_LEVEL", "ENERGY_GRACE",
		"ENERGY_PROFILE_LISTEN", "ENERGY_HTTP_LISTEN", "ENERGY_CACHE_BYTES", "ENERGY_PARENTS_QUIET",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s:\n%v", name, err)
		}
	}
	if strings.Contains(err.Error(), "mysql://db") {
		t.Error("the error shows a secret")
	}
}

// TestNetworksAreListenedToOnlyWhenSaid holds each service on this machine until
// somebody takes on that it is open.
func TestNetworksAreListenedToOnlyWhenSaid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ENERGY_HTTP_LISTEN", "ENERGY_GRPC_LISTEN"} {
		for _, address := range []string{":8080", "0.0.0.0:8080", "[::]:8080", "192.168.1.2:8080", "meters.example:8080"} {
			environment := map[string]string{name: address}
			_, err := config.Load[settings.Ingest](environment)
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "ENERGY_INSECURE=true") {
				t.Errorf("%s %s: %v", name, address, err)
			}
			environment["ENERGY_INSECURE"] = "true"
			if _, err := config.Load[settings.Ingest](environment); err != nil {
				t.Errorf("%s %s, said to be insecure: %v", name, address, err)
			}
		}
		for _, address := range []string{"127.0.0.1:0", "localhost:8080", "[::1]:8080", "127.3.2.1:80"} {
			if _, err := config.Load[settings.Ingest](map[string]string{name: address}); err != nil {
				t.Errorf("%s %s: %v", name, address, err)
			}
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"DATABASE_URL": "postgres://db/energy"}
	for name, load := range map[string]func() error{
		"ingest":          func() error { _, err := config.Load[settings.Ingest](nil); return err },
		"silver-cleaner":  func() error { _, err := config.Load[settings.Cleaner](nil); return err },
		"gold-aggregator": func() error { _, err := config.Load[settings.Aggregator](environment); return err },
		"query":           func() error { _, err := config.Load[settings.Query](environment); return err },
		"all":             func() error { _, err := config.Load[settings.All](environment); return err },
	} {
		if err := load(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
