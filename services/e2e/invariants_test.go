package e2e_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	invariant = regexp.MustCompile(`(?m)^\| (\d+) \|.*\| (.*) \|$`) // its number, and what proves it
	citation  = regexp.MustCompile(`\binvariants?((?:,? (?:and )?\d+)+)`)
	numeral   = regexp.MustCompile(`\d+`)
	newline   = regexp.MustCompile(`\n\s*//\s*`) // in a comment
	quoted    = regexp.MustCompile("`([^`]+)`")
	proof     = regexp.MustCompile(`(?m)((?:^//.*\n)*)^func ((?:Test|Fuzz)\w+)\(`)
)

// cited returns the numbers of the invariants that comments cite.
func cited(text string) (numbers []string) {
	for _, c := range citation.FindAllStringSubmatch(newline.ReplaceAllString(text, " "), -1) {
		numbers = append(numbers, numeral.FindAllString(c[1], -1)...)
	}
	return numbers
}

// citations returns which invariants the code cites, and which each test, whose name
// follows that of its package: pkg/gold TestCombineLaws.
func citations(t *testing.T) (code []string, tests map[string][]string) {
	t.Helper()
	tests = make(map[string][]string)
	for _, folder := range []string{"pkg", "services"} {
		root := filepath.Join("../..", folder)
		err := fs.WalkDir(os.DirFS(root), ".", func(file string, _ fs.DirEntry, err error) error {
			if err != nil || path.Ext(file) != ".go" {
				return err
			}
			text, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				return err
			}
			if !strings.HasSuffix(file, "_test.go") {
				code = append(code, cited(string(text))...)
			}
			for _, p := range proof.FindAllStringSubmatch(string(text), -1) {
				name := path.Join(folder, path.Dir(file)) + " " + p[2]
				tests[name] = append(tests[name], cited(p[1])...)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return code, tests
}

// TestInvariantsAreCited holds docs/invariants.md to the code: each invariant is cited
// where code upholds it and by the tests that the document names for it, and nothing
// else is cited.
func TestInvariantsAreCited(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/invariants.md")
	if err != nil {
		t.Fatal(err)
	}
	code, tests := citations(t)
	var known []string
	for _, row := range invariant.FindAllStringSubmatch(string(document), -1) {
		n := row[1]
		known = append(known, n)
		if !slices.Contains(code, n) {
			t.Errorf("no code cites invariant %s", n)
		}
		proofs, in := 0, ""
		for _, q := range quoted.FindAllStringSubmatch(row[2], -1) {
			if strings.Contains(q[1], "/") {
				in = q[1]
				continue
			}
			proofs++
			if test := in + " " + q[1]; !slices.Contains(tests[test], n) {
				t.Errorf("%s proves invariant %s, says the document, and does not say so itself", test, n)
			}
		}
		if proofs == 0 {
			t.Errorf("no test proves invariant %s", n)
		}
	}
	for _, numbers := range tests {
		code = append(code, numbers...)
	}
	for _, n := range code {
		if !slices.Contains(known, n) {
			t.Errorf("there is no invariant %s", n)
		}
	}
}
