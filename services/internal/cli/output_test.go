package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pairs() *forms[[2]string] {
	columns := []column[[2]string]{
		{"a", func(r [2]string) string { return r[0] }}, {"b", func(r [2]string) string { return r[1] }},
	}
	return &forms[[2]string]{table: columns, csv: columns, none: "nothing"}
}

// TestHeadersStandOnce holds what a watch writes: an update at a time, under one
// header, in columns that keep their places.
func TestHeadersStandOnce(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"table": "a   b\nlo  x\n1   y\nlonger  z\n2       w\n",
		"csv":   "a,b\nlo,x\n1,y\nlonger,z\n2,w\n",
	} {
		var out strings.Builder
		o, err := pairs().output(format, &out)
		if err != nil {
			t.Fatal(err)
		}
		for _, update := range [][][2]string{{{"lo", "x"}, {"1", "y"}}, {{"longer", "z"}}, {{"2", "w"}}} {
			for _, r := range update {
				if err := o.write(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.flush(); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
}

func TestNothingIsSaidInATableAndIsAHeaderInCSV(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"table": "nothing\n", "csv": "a,b\n", "json": ""} {
		var out strings.Builder
		o, err := pairs().output(format, &out)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.flush(); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", format, out.String(), err)
		}
	}
}
