package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/services/internal/publish"
)

// faulty is a file with a fault, the flags beside it, and what is to be said.
type faulty struct {
	content string
	flags   []string
	said    string // on standard error, and as the error
}

// faults are those that files for `energy publish` have most often.
func faults() map[string]faulty {
	const (
		head   = "at,meter,kwh\n"
		layout = "--time-layout=2006-01-02 15:04"
		zone   = "--zone=Europe/Paris"
		help   = `write it as the moment 2 January 2006 15:04:05 would stand in the file, such as "2006-01-02 15:04" or ` +
			`"2/1/2006 15:04:05", or one of rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns`
	)
	return map[string]faulty{
		"a wrong column": {"when,meter,kwh\n2026-01-31 17:00,column,1\n", []string{layout, zone},
			`f.csv:1: column "at" is not in the header; write one of "when", "meter", "kwh", or #1 to #3` + "\n"},
		"a row of another layout": {head + "2026-01-31 17:00,row,1\n31.01.2026 17:15,row,2\n2026-01-31 17:30,row,3\n",
			[]string{layout, zone}, `f.csv:3: column at: found "31.01.2026 17:15", expected a time like 2026-01-31 17:24; ` +
				`the mapping's time layout is "2006-01-02 15:04"; "2.1.2006 15:04" would read it` + "\n" +
				"bad rows were left out: 1\n"},
		"a layout that is none": {head, []string{"--time-layout=YYYY-MM-DD", zone},
			`mapping: time: layout "YYYY-MM-DD" does not tell year, month, day and hour; ` + help + "\n"},
		"an unknown zone": {head + "2026-01-31 17:00,zone,1\n", []string{layout, "--zone=Europe/Pariss"},
			`mapping: time: zone "Europe/Pariss" is not known; write an IANA name such as Europe/Paris or UTC` + "\n"},
		"mixed units": {"at,meter,kwh,unit\n2026-01-31 17:00,units,1,kWh\n2026-01-31 17:15,units,1000,Wh\n" +
			"2026-01-31 17:30,units,1,V\n2026-01-31 17:45,units,1 kWh,kWh\n", []string{layout, zone, "--unit=column:unit"},
			`f.csv:5: column kwh: found "1 kWh", expected a number such as 234.84; a unit stands in a column of its own ` +
				"(unit: {column: NAME}), or once in the mapping; take it off the number\n" +
				"f.csv:4: metric active_energy_import takes kWh, GJ, GWh, J, MJ, MWh, Wh, kJ, not V: unit of another dimension; " +
				"it was published, and goes to quarantine unless the platform's catalogue takes it\n" +
				"bad rows were left out: 1\n"},
		"a last line without its fields": {head + "2026-01-31 17:00,half,1\n2026-01-31 17:15,ha", []string{layout, zone},
			`f.csv:3: found "2026-01-31 17:15,ha", expected 3 fields; the file ends here without a newline, ` +
				"the line seems half-written: publish the file again when its writer is done\n" +
				"bad rows were left out: 1\n"},
		"a last line that may go on": {head + "2026-01-31 17:00,whole,1\n2026-01-31 17:15,whole,12", []string{layout, zone},
			"f.csv:3: the file ends here without a newline; if its writer is not done, " +
				"publish the file again when it is: the later value counts\n"},
	}
}

// TestPublishSaysWhatMendsAFile publishes faulty files twice: the tool says which
// line is wrong, what was expected and what mends it; what is good reaches gold,
// and the second time changes nothing there.
func TestPublishSaysWhatMendsAFile(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	dir := t.TempDir()
	all := func() {
		t.Helper()
		for name, f := range faults() {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"), "f.csv")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(f.content), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{path, "--quiet", "--server=" + p.natsURL, "--time-column=at", "--entity=column:meter",
				"--metric=active_energy_import", "--value=kwh"}, f.flags...)
			if diff := cmp.Diff(f.said, said(t, args)); diff != "" {
				t.Errorf("%s:\n%s", name, diff)
			}
		}
		p.await(t, "gold to have all", caughtUp)
	}
	all()
	once := p.rows(t, "gold.content")
	want := map[string]uint64{"row active_energy_import": 2, "units active_energy_import": 2,
		"half active_energy_import": 1, "whole active_energy_import": 2}
	if diff := cmp.Diff(want, p.received(t)); diff != "" {
		t.Errorf("what reached gold differs:\n%s", diff)
	}
	all()
	sameRows(t, "published again", once, p.rows(t, "gold.content"))
}

// said runs the tool and returns what it writes for people to mend.
func said(t *testing.T, args []string) string {
	t.Helper()
	c := publish.Command(func(string) string { return "" })
	var out, errs bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SilenceErrors = true
	c.SetArgs(args)
	if err := c.ExecuteContext(t.Context()); err != nil {
		errs.WriteString(err.Error() + "\n")
	}
	return errs.String()
}
