package janitor_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const runbooks = "../../../docs/runbooks/"

// TestRunbooks holds the runbooks together: each is listed, each link leads somewhere,
// and every component of health has a line.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile(runbooks + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(runbooks + "*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^)#]+)`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(runbooks, link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("%s is not listed", name)
		}
	}
	for _, component := range []string{
		"nats", "postgres", "setup", "catalog", "durability", "janitor", "stream …", "ingest.N", "silver.N", "gold.N",
		"quarantine", "relay.N", "parents.N", "recompute.N",
	} {
		if !strings.Contains(string(index), "`"+component) {
			t.Errorf("no runbook is for %s", component)
		}
	}
}
