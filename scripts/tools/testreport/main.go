// Command testreport turns the output of `go test -json` on its standard input into go test's own short report, and
// adds what that one leaves out: every skipped test with its reason, and the counts.
//
// A package that passed is one "ok" line; of one that failed everything it printed is shown. The last line reads
// "N passed, N failed, N skipped"; tests, subtests, examples and seeds of fuzz tests count. It exits with 1 when
// anything failed, so that a report never looks better than the run; `set -o pipefail` covers go test itself.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	r := report{out: os.Stdout, printed: map[key][]string{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	if failed := r.close(); failed {
		os.Exit(1)
	}
}

// event is one line of `go test -json`, see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build, in place of Package
	Test       string
	Output     string
}

// key names what printed a line: a test, or with no test its package.
type key struct{ pkg, test string }

type report struct {
	out                     io.Writer
	printed                 map[key][]string
	passed, failed, skipped int
	skips                   []string
	broken                  bool // a package or a build failed, with or without a test of it
}

func (r *report) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events: %w", err)
		}
	}
}

// line takes one event; what is none is go's own word (a warning, a fault of the command line) and is passed on.
func (r *report) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Fprint(r.out, line)
		return
	}
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.printed[k] = append(r.printed[k], e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.broken = true
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(k, e.Action)
		} else {
			r.endTest(k, e.Action)
		}
	}
}

func (r *report) endTest(k key, how string) {
	switch how {
	case "pass":
		r.passed++
		delete(r.printed, k)
	case "skip":
		r.skipped++
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s", k.pkg, k.test, reason(r.printed[k])))
		delete(r.printed, k)
	case "fail":
		r.failed++
		r.flush(k)
	}
}

func (r *report) endPackage(k key, how string) {
	if how == "fail" {
		r.broken = true
		for unfinished := range r.printed { // tests that a panic or the time limit ended
			if unfinished.pkg == k.pkg && unfinished.test != "" {
				r.flush(unfinished)
			}
		}
		r.flush(k)
		return
	}
	for _, line := range r.printed[k] {
		if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") {
			fmt.Fprint(r.out, line)
		}
	}
	delete(r.printed, k)
}

func (r *report) flush(k key) {
	for _, line := range r.printed[k] {
		if !strings.HasPrefix(line, "=== ") {
			fmt.Fprint(r.out, line)
		}
	}
	delete(r.printed, k)
}

// close prints the skips and the counts, and tells whether anything failed.
func (r *report) close() bool {
	for _, s := range r.skips {
		fmt.Fprintln(r.out, "skipped:", s)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return r.broken || r.failed > 0
}

// reason is the text that a skipped test gave, on one line.
func reason(printed []string) string {
	var said []string
	for _, line := range printed {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
