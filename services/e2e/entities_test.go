package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEntitiesByTheTool registers, lists and takes out entities by the energy
// command.
func TestEntitiesByTheTool(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.status(t) // it stands
	environment := []string{"ENERGY_QUERY_ADDRESS=" + p.grpc}
	file := filepath.Join(t.TempDir(), "entities.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		csv    string // for the file, empty leaves it
		args   string
		status int
		says   string
	}{
		{"id,valid_from,zone,parent,label.tariff\nm1,,Europe/Paris,site-1,night\nm1,2026-03-29,Europe/Paris,site-2,day\n",
			"entities load " + file, 0, "2 records: 2 new, 0 changed, 0 as they were"},
		{"", "entities load " + file, 0, "2 records: 0 new, 0 changed, 2 as they were"},
		{"", "entities list --format csv", 0, "m1,2026-03-29T00:00:00+01:00,,Europe/Paris,site-2,day"},
		{"", "entities list --label tariff=night --at 2026-03-28T00:00:00+01:00", 0, "site-1"},
		{"", "entities list --parent site-2 --format json", 0, `"valid_from":"2026-03-28T23:00:00Z"`},
		{"", "entities delete m1 --valid-from 2026-03-28T23:00:00Z", 0, "1 record taken out"},
		{"", "entities delete m1 --valid-from 2026-03-28T23:00:00Z", 1, "m1 has no record that is valid from 2026-03-28T23:00:00Z"},
		{"", "entities load " + file, 0, "2 records: 1 new, 0 changed, 1 as they were"},
		{"", "entities delete m1 --valid-from 2026-03-28", 1, "m1 has 2 records: one that has always held, 2026-03-29T00:00:00+01:00"},
		{"", "entities delete m1 --valid-from 2026-03-29", 0, "1 record taken out"},
		{"", "entities delete m2", 1, "m2 has no record"},
		{"", "entities delete m1 --valid-from yesterday", 2, "no date such as 2026-01-31"},
		{"", "entities list --at now", 0, "site-1"},
		{"id,zone\nm1,Mars\n", "entities load " + file, 2, `line 2: invalid entity "m1": zone "Mars" is no IANA time zone`},
		{"id,parent\nsite-1,m1\n", "entities load " + file, 2, "parents lead in a circle"},
		{"", "entities list --label tariff", 2, "must be key=value"},
		{"", "entities list --at tomorrow", 2, "2026-03-01"},
		{"", "entities list --at 2026-03-28", 2, "RFC 3339"},
		{"", "entities load -", 2, "--format csv or json"},
		{"", "entities load", 2, "takes one file"},
	} {
		if step.csv != "" {
			write(step.csv)
		}
		out, errOut, status := tool(t, environment, strings.Fields(step.args)...)
		if status != step.status || !strings.Contains(out+errOut, step.says) {
			t.Errorf("energy %s ended with %d, want %d saying %q:\n%s%s",
				step.args, status, step.status, step.says, out, errOut)
		}
	}
}
