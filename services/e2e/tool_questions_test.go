package e2e_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// table reads the CSV that a command printed, a map a line.
func table(t *testing.T, out string) (lines []map[string]string) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(records) == 0 {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, record := range records[1:] {
		line := make(map[string]string)
		for i, name := range records[0] {
			line[name] = record[i]
		}
		lines = append(lines, line)
	}
	return lines
}

// TestToolAsksByTheRegistry selects and groups by what the registry says, fills
// gaps, goes back in time and explains, all by the energy command.
func TestToolAsksByTheRegistry(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	environment := []string{"ENERGY_QUERY_ADDRESS=" + p.grpc}
	file := filepath.Join(t.TempDir(), "entities.csv")
	registry := "id,zone,parent,label.tariff\n" +
		"m1,Europe/Paris,site-1,night\nm2,America/New_York,site-1,day\nm3,,site-2,day\n"
	if err := os.WriteFile(file, []byte(registry), 0o600); err != nil {
		t.Fatal(err)
	}
	p.status(t) // it stands
	if _, errOut, status := tool(t, environment, "entities", "load", file); status != 0 {
		t.Fatal(errOut)
	}
	hour := func(entity, at, value, more string) string {
		return `{"entity_id":"` + entity + `","metric":"active_energy","length":"1h","unit":"kWh","time":"` + at +
			`","value":` + value + more + `}`
	}
	send(t, p, "application/json", "["+strings.Join([]string{
		hour("m1", "2026-03-01T10:00:00Z", "1", ""), hour("m1", "2026-03-01T13:00:00Z", "4", ""),
		hour("m2", "2026-03-01T10:00:00Z", "10", ""), hour("m3", "2026-03-01T10:00:00Z", "100", ""),
		`{"entity_id":"m1","metric":"active_energy_import","time":"2026-03-01T10:00:00Z","value":50}`,
		`{"entity_id":"m1","metric":"active_energy_import","time":"2026-03-01T10:10:00Z","value":20}`,
	}, ",")+"]")
	p.await(t, "gold to catch up", caughtUp)
	before := time.Now().UTC().Format(time.RFC3339Nano)
	send(t, p, "application/json", hour("m1", "2026-03-01T10:00:00Z", "2", `,"quality":"corrected"`))
	p.await(t, "gold to catch up", caughtUp)

	ask := func(t *testing.T, args string) string {
		t.Helper()
		out, errOut, status := tool(t, environment, strings.Fields(args)...)
		if status != 0 {
			t.Fatalf("energy %s ended with %d:\n%s%s", args, status, out, errOut)
		}
		return out
	}
	const energy = "query --metric active_energy --format csv --window "
	for _, c := range []struct {
		name, args string
		want       []string // cells of each line, as name=value
	}{
		{"ByParent", energy + "day --parent site-1", []string{
			"entity=m1 energy=6 date=2026-03-01", "entity=m2 energy=10 date=2026-03-01"}},
		{"ByLabel", energy + "day --label tariff=day", []string{"entity=m2 energy=10", "entity=m3 energy=100"}},
		{"GroupsByParent", energy + "day --group-by parent", []string{
			"group=site-1 energy=16 members=2 contributing=2 entity=", "group=site-2 energy=100 members=1"}},
		{"GroupsByLabel", energy + "day --group-by label=tariff", []string{"group=day energy=110", "group=night energy=6"}},
		{"GroupsAll", energy + "day --group-by label --group-label tariff --parent site-2", []string{"group=day energy=100"}},
		{"OwnZones", energy + "day --zone own --parent site-1", []string{
			"entity=m1 date=2026-03-01 start=2026-02-28T23:00:00Z", "entity=m2 date=2026-03-01 start=2026-03-01T05:00:00Z"}},
		{"FillsNone", energy + "1h --entity m1 --fill none", []string{"energy=2", "energy=4"}},
		{"FillsPrevious", energy + "1h --entity m1 --fill previous", []string{
			"energy=2 filled_energy=", "energy= received=0 filled_energy=2", "filled_energy=2", "energy=4"}},
		{"FillsLinearly", energy + "1h --entity m1 --fill linear", []string{
			"energy=2", "filled_energy=2.666667", "filled_energy=3.333333", "energy=4"}},
		{"KnownBefore", energy + "1h --entity m1 --fill none --known-at " + before, []string{"energy=1", "energy=4"}},
		{"ShowsExchanges", "query --metric active_energy_import --format csv --window 1h", []string{
			"energy=0 exchanges=1 resets=0 edge_open=true"}},
		{"Latest", "latest --parent site-2 --format csv", []string{"entity=m3 value=100 unit=kWh"}},
		{"Series", "series --label tariff=night --format csv", []string{
			"entity=m1 metric=active_energy kind=interval", "metric=active_energy_import kind=register"}},
		{"Explains", "explain --entity m1 --metric active_energy --from 2026-03-01T10:00 --to 2026-03-01T11:00 --format csv",
			[]string{"time=2026-03-01T10:00:00Z value=2 quality=corrected outcome=counts epoch=1 length=1h0m0s origin=READINGS:2[0]",
				"value=1 outcome=lesser_quality origin=READINGS:1[0]"}},
		{"ExplainsWhatWasKnown", "explain --entity m1 --metric active_energy --unit kWh --from 2026-03-01 --to 2026-03-01T11:00 " +
			"--format csv --known-at " + before, []string{"value=1 outcome=counts"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lines := table(t, ask(t, c.args))
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d: %v", len(lines), len(c.want), lines)
			}
			for i, want := range c.want {
				for cell := range strings.FieldsSeq(want) {
					name, value, _ := strings.Cut(cell, "=")
					if got, ok := lines[i][name]; got != value || !ok {
						t.Errorf("line %d: %s is %q, want %q", i, name, got, value)
					}
				}
			}
		})
	}
	t.Run("TablesMarkWhatIsFilledAndWhatFell", func(t *testing.T) {
		t.Parallel()
		for args, wants := range map[string][]string{
			"query --metric active_energy --entity m1 --fill previous": {"~2", "filled"},
			"query --metric active_energy_import":                      {"exchange:1 edge_open"},
			"query --metric active_energy --group-by all --window day": {"members", "contributing", "116"},
			"query --metric active_energy --entity m1 --format plot":   {"m1 active_energy, kWh", "████", "  4"},
			"explain --entity m1 --metric active_energy --from 2026-03-01 --to 2026-03-02": {
				"corrected", "lesser_quality", "READINGS:1[0]", "2 kWh", "yields to corrected"},
		} {
			out := ask(t, args)
			for _, want := range wants {
				if !strings.Contains(out, want) {
					t.Errorf("energy %s does not say %q:\n%s", args, want, out)
				}
			}
		}
	})
	t.Run("JSONIsTheContract", func(t *testing.T) {
		t.Parallel()
		var answer struct {
			Group struct{ Key string }
		}
		out := ask(t, "query --metric active_energy --group-by parent --parent site-2 --window day --format json")
		if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Group.Key != "site-2" {
			t.Errorf("%v, %+v of\n%s", err, answer, out)
		}
		var reading struct {
			Time     string
			Versions []struct{ Outcome string }
		}
		out = ask(t, "explain --entity m3 --metric active_energy --from 2026-03-01 --to 2026-03-02 --format json")
		if err := json.Unmarshal([]byte(out), &reading); err != nil || reading.Time != "2026-03-01T10:00:00Z" ||
			len(reading.Versions) != 1 || reading.Versions[0].Outcome != "OUTCOME_COUNTS" {
			t.Errorf("%v, %+v of\n%s", err, reading, out)
		}
	})
	t.Run("CompletesWhatIsThere", func(t *testing.T) {
		t.Parallel()
		for args, want := range map[string]string{
			"__complete query --entity m":                "m1\nm2\nm3\n",
			"__complete explain --metric active_energy_": "active_energy_import\n",
		} {
			if out := ask(t, args); !strings.HasPrefix(out, want) {
				t.Errorf("energy %s prints\n%s", args, out)
			}
		}
	})
	t.Run("WrongCallsSayWhatMendsThem", func(t *testing.T) {
		t.Parallel()
		for _, wrong := range []struct {
			args   string
			status int
			says   string
		}{
			{"query --label tariff", 2, "--label \"tariff\" is no label: give key=value"},
			{"query --group-by town", 2, "give series, parent, label=KEY or all"},
			{"query --fill zero", 2, "none, null, previous or linear"},
			{"query --zone own --window 1h", 2, "--zone own is for windows of the calendar"},
			{"query --known-at soon", 2, "--known-at \"soon\" is no time"},
			{"query --format xml", 2, "table, json or csv, or plot"},
			{"query --metric energy --window day", 0, `metric "energy" has no readings here`},
			{"query --metric energy --group-by all", 0, `metric "energy" has no readings here`},
			{"latest --entity nobody", 0, `entity "nobody" has no readings here`},
			{"latest --format xml", 2, "table, json or csv"},
			{"series --metric energy", 0, `metric "energy" has no readings here`},
			{"explain --entity m1", 2, "--metric is required\n--from is required\n--to is required"},
			{"explain --entity m1,m2 --metric active_energy --from 2026-03-01 --to 2026-03-02", 2, "one series"},
			{"explain --entity m1 --metric energy --from 2026-03-01 --to 2026-03-02", 0, `no readings of "energy"`},
			{"explain --entity m1 --metric active_energy --unit MWh --from 2026-03-01 --to 2026-03-02", 2, `give "kWh"`},
		} {
			out, errOut, status := tool(t, environment, strings.Fields(wrong.args)...)
			if status != wrong.status || !strings.Contains(errOut, wrong.says) {
				t.Errorf("energy %s ended with %d, want %d saying %q:\n%s%s",
					wrong.args, status, wrong.status, wrong.says, out, errOut)
			}
		}
	})
}
