package settings

import (
	"fmt"
	"strings"

	"github.com/energy-platform/energy/pkg/config"
)

// service is the settings of one service, or of something beside them, for people.
type service struct {
	name      string
	variables []config.Variable
}

func services() []service {
	return []service{
		{"ingest", config.Variables[Ingest]()},
		{"silver-cleaner", config.Variables[Cleaner]()},
		{"gold-aggregator", config.Variables[Aggregator]()},
		{"query", config.Variables[Query]()},
		{"energy up, energy run-stream", config.Variables[All]()},
		{"docker-compose.yml", config.Variables[Containers]()},
	}
}

// Render returns the settings of all services as markdown tables or, with
// format env, as a commented environment file.
func Render(format string) (string, error) {
	switch format {
	case "markdown":
		return markdown(), nil
	case "env":
		return environmentFile(), nil
	default:
		return "", fmt.Errorf("--format %q is not known: give markdown or env", format)
	}
}

func markdown() string {
	var b strings.Builder
	b.WriteString("# Settings\n\nAll settings are environment variables. " +
		"A service that finds faults in them names all of them and does not start.\n")
	for _, s := range services() {
		fmt.Fprintf(&b, "\n## %s\n\n| variable | default | meaning |\n|---|---|---|\n", s.name)
		for _, v := range s.variables {
			value := "—"
			if v.Default != "" {
				value = "`" + v.Default + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Name, value, v.Doc)
		}
	}
	return b.String()
}

// environmentFile lists each variable once. Where services differ in a default
// the variable is left to them.
func environmentFile() string {
	var b strings.Builder
	b.WriteString("# Settings of the energy platform. Copy to .env and change what differs;\n" +
		"# what is commented out has its default. docs/settings.md tells more.\n")
	seen := make(map[string]bool)
	for _, s := range services() {
		for _, v := range s.variables {
			if seen[v.Name] {
				continue
			}
			seen[v.Name] = true
			fmt.Fprintf(&b, "\n# %s\n", v.Doc)
			if v.Name == "DATABASE_URL" {
				b.WriteString("DATABASE_URL=postgres://energy:energy@127.0.0.1:5432/energy\n")
				continue
			}
			fmt.Fprintf(&b, "#%s=%s\n", v.Name, v.Default)
		}
	}
	return b.String()
}
