package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/energy-platform/energy/"

// dependencies returns the packages of the workspace with all packages that
// each depends on, as go list knows them.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Deps",
		module+"pkg/...", module+"services/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := make(map[string][]string)
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Deps       []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return deps
		} else if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(p.ImportPath, module); ok {
			deps[name] = p.Deps
		}
	}
}

// TestArrowsPointOneWay holds main → builder → service → domain and adapters
// (invariant 12).
func TestArrowsPointOneWay(t *testing.T) {
	t.Parallel()
	deps := dependencies(t)
	domain := []string{"pkg/reading", "pkg/catalog", "pkg/bronze", "pkg/silver", "pkg/gold"}
	service := []string{
		"services/internal/ingest", "services/internal/cleaner", "services/internal/aggregator", "services/internal/query",
	}
	adapters := []string{"pkg/broker", "pkg/goldstore", "pkg/producer"}
	local := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, module+n)
		}
		return out
	}
	impure := append(local("pkg/wire", "pkg/config", "pkg/health", "pkg/lifecycle", "pkg/localpg", "pkg/localnats"),
		"log/slog", "net", "net/http", "database/sql", "os/exec", "google.golang.org/grpc",
		"github.com/nats-io/nats.go", "github.com/jackc/pgx/v5", module+"proto/gen/energy/v1")
	rules := []struct {
		name      string
		from      []string
		forbidden []string
	}{
		{"the domain knows no adapter and nothing impure", domain, append(local(adapters...), impure...)},
		{"the domain's layers point to earlier ones only", []string{"pkg/reading"}, local(domain[1:]...)},
		{"bronze does not know what becomes of it", []string{"pkg/bronze"}, local("pkg/silver", "pkg/gold")},
		{"silver does not know gold", []string{"pkg/silver"}, local("pkg/gold")},
		{"adapters know neither each other's nor the wire's part", []string{"pkg/broker"}, local("pkg/goldstore", "pkg/wire", "pkg/gold", "pkg/silver", "pkg/reading")},
		{"the store knows neither the broker nor the wire", []string{"pkg/goldstore"}, local("pkg/broker", "pkg/wire")},
		{"no service knows its builder or the tool", service, local("services/internal/app", "services/internal/cli", "services/internal/settings")},
		{"REST knows nothing but the contract", []string{"services/internal/rest"}, append(local("services/internal/app"),
			append(local(service...), append(local(adapters...), local(domain...)...)...)...)},
		{"the page knows no service and no adapter", []string{"services/internal/page"}, append(
			local("services/internal/app", "services/internal/cli", "services/internal/settings", "services/internal/rest"),
			append(local(service...), local(adapters...)...)...)},
		{"services do not know the page", service, local("services/internal/page")},
		{"who asks carries nothing of the platform", []string{"pkg/client"}, append(
			append(local(adapters...), local(domain[1:]...)...), "github.com/nats-io/nats.go", "github.com/jackc/pgx/v5")},
		{"services do not know REST", service, append(local("services/internal/rest"), "github.com/grpc-ecosystem/grpc-gateway/v2")},
	}
	for _, s := range service {
		rules = append(rules, struct {
			name      string
			from      []string
			forbidden []string
		}{"no service imports another", []string{s}, without(local(service...), module+s)})
	}
	for _, rule := range rules {
		for _, from := range rule.from {
			known, ok := deps[from]
			if !ok {
				t.Errorf("%s: package %s does not exist", rule.name, from)
			}
			for _, dep := range known {
				for _, forbidden := range rule.forbidden {
					if dep == forbidden || strings.HasPrefix(dep, forbidden+"/") && !strings.HasPrefix(forbidden, "net") {
						t.Errorf("%s: %s depends on %s", rule.name, from, dep)
					}
				}
			}
		}
	}
}

func without(list []string, one string) (out []string) {
	for _, s := range list {
		if s != one {
			out = append(out, s)
		}
	}
	return out
}
