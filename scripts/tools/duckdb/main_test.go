package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := run(t.Context(), strings.NewReader("SELECT 0.1::DOUBLE + 0.2 AS x, NULL AS y, 'a,b' AS z, 7 AS n"), &out)
	if want := "x,y,z,n\n0.30000000000000004,,\"a,b\",7\n"; err != nil || out.String() != want {
		t.Errorf("run = %q, %v; want %q", out.String(), err, want)
	}
	if err := run(t.Context(), strings.NewReader("SELEC"), &out); err == nil {
		t.Error("what is no SQL passes")
	}
}
