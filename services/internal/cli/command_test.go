package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongCallsSayWhatMendsThem before anything is asked of a server.
func TestWrongCallsSayWhatMendsThem(t *testing.T) {
	t.Parallel()
	faulty := filepath.Join(t.TempDir(), "faulty.yaml")
	if err := os.WriteFile(faulty, []byte("metrics: {a: {colour: red}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"a command that is none":           {[]string{"frobnicate"}, 2, `energy has no command "frobnicate"; see energy --help`},
		"a command that is almost one":     {[]string{"stauts"}, 2, `energy has no command "stauts"; did you mean status?`},
		"of entities":                      {[]string{"entities", "lod", "x"}, 2, `energy entities has no command "lod"; did you mean load?`},
		"of the quarantine":                {[]string{"quarantine", "x"}, 2, `energy quarantine has no command "x"; see energy quarantine --help`},
		"a catalogue that is not there":    {[]string{"catalog", "apply", faulty + "x"}, 2, faulty + "x: no such file"},
		"a catalogue with faults, planned": {[]string{"catalog", "plan", faulty}, 1, faulty + ": line 1: field colour not found in a metric"},
		"a catalogue with faults, applied": {[]string{"catalog", "apply", faulty}, 1, faulty + ": line 1: field colour"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, said bytes.Buffer
			status := Main(c.args, nil, Streams{In: strings.NewReader(""), Out: &out, Err: &said})
			if status != c.status || !strings.Contains(said.String(), c.want) || out.Len() > 0 {
				t.Errorf("%q ends with %d, prints %q and says %q; want %d and %q", c.args, status, &out, &said, c.status, c.want)
			}
		})
	}
}
