package e2e_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/services/internal/cli"
)

// tool runs the energy command in this process.
func tool(t *testing.T, environment []string, args ...string) (out, errOut string, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = cli.Main(args, environment, cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return stdout.String(), stderr.String(), status
}

// TestTool asks by the energy command what a user would, in every format, and
// checks the exit statuses of calls that are wrong.
func TestTool(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	send(t, p, "application/json", fmt.Sprintf(
		`[{"entity_id":"m1","metric":"active_energy","unit":"Wh","length":"15m","value":500,"time":%q},`+
			`{"entity_id":"m1","metric":"active_energy","unit":"Wh","length":"15m","value":0,"time":%q},`+
			`{"entity_id":"m1","metric":"active_energy","unit":"volts","value":0,"time":%q}]`,
		at.Format(time.RFC3339), at.Add(15*time.Minute).Format(time.RFC3339), at.Format(time.RFC3339)))
	p.await(t, "gold to catch up", caughtUp)
	environment := []string{"ENERGY_QUERY_ADDRESS=" + p.grpc}

	t.Run("CSVHasAllWindows", func(t *testing.T) {
		t.Parallel()
		out, _, status := tool(t, environment, "query", "--entity", "m1", "--window", "15m", "--format", "csv")
		records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || status != 0 || len(records) != 3 {
			t.Fatalf("status %d, %v:\n%s", status, err, out)
		}
		first := make(map[string]string)
		for i, name := range records[0] {
			first[name] = records[1][i]
		}
		for name, want := range map[string]string{
			"entity": "m1", "start": "2026-03-01T10:00:00Z", "received": "1", "expected": "1", "complete_%": "100.00",
			"finality": "provisional",
			"energy":   "0.5", "energy_unit": "kWh", "peak": "2", "peak_unit": "kW",
			"mean_power": "2", "estimated_%": "0.00", "estimated_energy_%": "0.00", "flags": "",
		} {
			if first[name] != want {
				t.Errorf("%s is %q, want %q", name, first[name], want)
			}
		}
	})
	t.Run("JSONTellsZeroFromAbsent", func(t *testing.T) {
		t.Parallel()
		out, _, status := tool(t, environment, "query", "--entity", "m1", "--window", "15m", "--format", "json")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if status != 0 || len(lines) != 2 {
			t.Fatalf("status %d:\n%s", status, out)
		}
		var second struct {
			Aggregates []struct {
				Statistics map[string]any
			}
		}
		if err := json.Unmarshal([]byte(lines[1]), &second); err != nil {
			t.Fatal(err)
		}
		if energy, ok := second.Aggregates[0].Statistics["energy"]; !ok || energy != 0.0 {
			t.Errorf("an energy of zero is %v in\n%s", energy, lines[1])
		}
	})
	t.Run("StatusAccountsForEverything", func(t *testing.T) {
		t.Parallel()
		out, _, status := tool(t, environment, "status")
		for _, want := range []string{"READINGS", "unknown_unit", "no reading is known to be missing"} {
			if status != 0 || !strings.Contains(out, want) {
				t.Errorf("status %d does not say %q:\n%s", status, want, out)
			}
		}
	})
	t.Run("SeriesAndLatestList", func(t *testing.T) {
		t.Parallel()
		for command, want := range map[string]string{"series": "interval", "latest": "2026-03-01T10:15:00Z"} {
			out, _, status := tool(t, environment, command)
			if status != 0 || !strings.Contains(out, "m1") || !strings.Contains(out, want) {
				t.Errorf("%s ended with %d:\n%s", command, status, out)
			}
		}
	})
	t.Run("WrongCallsSayWhatMendsThem", func(t *testing.T) {
		t.Parallel()
		for _, wrong := range []struct {
			args   []string
			status int
			says   string
		}{
			{[]string{"query", "--window", "7m"}, 2, "multiple of 15m0s"},
			{[]string{"query", "--window", "soon"}, 2, "give a duration such as 15m"},
			{[]string{"query", "--zone", "Mars/Olympus"}, 2, "Europe/Paris"},
			{[]string{"query", "--from", "yesterday"}, 2, "2007-01-31"},
			{[]string{"query", "--format", "xml"}, 2, "table, json or csv"},
			{[]string{"query", "--windw", "1h"}, 2, "--help"},
			{[]string{"query", "m1"}, 2, "takes no arguments"},
			{[]string{"query", "--entity", "nobody"}, 0, `"nobody" has no readings`},
			{[]string{"status", "--server", "127.0.0.1:1"}, 1, "energy up"},
			{[]string{"migrate"}, 2, "DATABASE_URL"},
		} {
			out, errOut, status := tool(t, environment, wrong.args...)
			if status != wrong.status || !strings.Contains(errOut, wrong.says) {
				t.Errorf("energy %s ended with %d, want %d saying %q:\n%s%s",
					strings.Join(wrong.args, " "), status, wrong.status, wrong.says, out, errOut)
			}
		}
	})
}
