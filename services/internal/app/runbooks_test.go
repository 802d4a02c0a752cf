package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/janitor"
)

const repository = "../../../"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(repository + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRunbooks holds the runbooks together: each is listed, each link leads somewhere,
// every component of health has a line, and what can be wrong stands on its page in the
// words of health.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	index := read(t, runbooks+"README.md")
	pages, err := filepath.Glob(repository + runbooks + "*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	links := regexp.MustCompile(`\]\(([^)#]+)`)
	for _, page := range pages {
		name := filepath.Base(page)
		for _, link := range links.FindAllStringSubmatch(read(t, runbooks+name), -1) {
			if _, err := os.Stat(filepath.Join(repository, runbooks, link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		if name != "README.md" && !strings.Contains(index, "("+name+")") {
			t.Errorf("%s is not listed", name)
		}
	}
	for component, page := range pagesOfComponents {
		if !regexp.MustCompile("(?m)^.*`" + component + "[` .].*\\(" + page + "\\)").MatchString(index) {
			t.Errorf("%s is not listed for %s", page, component)
		}
	}
	for _, p := range pagesOfTrouble {
		text := strings.Join(strings.Fields(read(t, runbooks+p.page)), " ")
		if words := fmt.Sprintf("`%s`", p.trouble); !strings.Contains(text, words) {
			t.Errorf("%s does not say %s", p.page, words)
		}
	}
}

// TestEveryTroubleHasARunbook goes through what the broker and the store can be found
// to be: each has a page, or never comes to health.
func TestEveryTroubleHasARunbook(t *testing.T) {
	t.Parallel()
	elsewhere := []error{
		// told by tools, or in answers
		broker.ErrEpochExists, broker.ErrMarksMoved, broker.ErrRemoved,
		goldstore.ErrChecksum, goldstore.ErrNoBatch, goldstore.ErrNotAllowed,
		// mended without a word
		broker.ErrReaderClosed, goldstore.ErrRowFull,
	}
	var known []string
	for _, p := range pagesOfTrouble {
		known = append(known, p.trouble.Error())
	}
	for _, err := range elsewhere {
		known = append(known, err.Error())
	}
	sentinel := regexp.MustCompile(`\bErr\w+\s+= errors\.New\("(.*)"\)`)
	found := 0
	for _, folder := range []string{"pkg/broker", "pkg/goldstore"} {
		files, err := filepath.Glob(repository + folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for _, s := range sentinel.FindAllStringSubmatch(read(t, strings.TrimPrefix(file, repository)), -1) {
				found++
				if !slices.Contains(known, s[1]) {
					t.Errorf("%s has no runbook, nor is it known that health never says it", s[0])
				}
			}
		}
	}
	if found < len(elsewhere) {
		t.Errorf("%d errors were found", found)
	}
}

// TestRunbookIsThatOfTheTrouble finds the page of what is wrong, else that of where.
func TestRunbookIsThatOfTheTrouble(t *testing.T) {
	t.Parallel()
	other := errors.New("it does not work")
	for _, c := range []struct {
		component string
		trouble   error
		page      string
	}{
		{"silver.3", fmt.Errorf("publish: %w", broker.ErrStreamFull), "stream-full.md"},
		{"gold.12", fmt.Errorf("flush: %w", &pgconn.PgError{Code: "53100"}), "postgres-away.md"},
		{"gold.12", other, "stage-stuck.md"},
		{"setup", broker.ErrDisconnected, "broker-away.md"},
		{"setup", other, "setup.md"},
		{janitor.Stream + " READINGS", other, "stream-full.md"},
		{"what nobody knows", other, "README.md"},
	} {
		if page := Runbook(c.component, c.trouble); page != runbooks+c.page {
			t.Errorf("%s, %v: %s", c.component, c.trouble, page)
		}
	}
}
