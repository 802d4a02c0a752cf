package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, events, want string
		failed             bool
	}{
		{
			name: "a package that passed is its ok line and the counts",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p"}
`,
			want: "ok  \tp\t0.01s\n1 passed, 0 failed, 0 skipped\n",
		},
		{
			name: "a skip is listed with its reason",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: no server\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p"}
`,
			want: "ok  \tp\t0.01s\nskipped: p TestA: a_test.go:3: no server\n0 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "a failure shows all that the test printed",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: got 1\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
`,
			want:   "    a_test.go:3: got 1\n--- FAIL: TestA (0.00s)\nFAIL\tp\t0.01s\n0 passed, 1 failed, 0 skipped\n",
			failed: true,
		},
		{
			name: "a panic shows what the unfinished test printed",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
`,
			want:   "panic: oh\nFAIL\tp\t0.01s\n0 passed, 0 failed, 0 skipped\n",
			failed: true,
		},
		{
			name: "a build that failed fails the report",
			events: `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: no\n"}
{"ImportPath":"p","Action":"build-fail"}
`,
			want:   "p.go:1: no\n0 passed, 0 failed, 0 skipped\n",
			failed: true,
		},
		{
			name:   "what is no event is passed on",
			events: "go: warning: matched no packages\n",
			want:   "go: warning: matched no packages\n0 passed, 0 failed, 0 skipped\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := report{out: &out, printed: map[key][]string{}}
			if err := r.read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			if failed := r.close(); failed != c.failed {
				t.Errorf("failed = %t, want %t", failed, c.failed)
			}
			if out.String() != c.want {
				t.Errorf("report is\n%s\nwant\n%s", out.String(), c.want)
			}
		})
	}
}
