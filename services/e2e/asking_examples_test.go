package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// receivedTime is a time with all digits, which no two runs share.
var receivedTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z`)

// TestAskingExamples follows docs/asking.md: it writes the file that stands as
// CSV, publishes what stands as JSON, runs each command, and compares what it
// prints with the block behind it.
func TestAskingExamples(t *testing.T) {
	t.Parallel()
	const document = "../../docs/asking.md"
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	p := embedded(t)
	p.status(t) // it stands
	environment := []string{"ENERGY_QUERY_ADDRESS=" + p.grpc}
	entities := filepath.Join(t.TempDir(), "entities.csv")
	var knownAt string // between the first readings and the second
	blocks := strings.Split(string(text), "```")
	for i := 1; i+2 < len(blocks); i += 2 {
		kind, body, _ := strings.Cut(blocks[i], "\n")
		switch kind {
		case "csv":
			if err := os.WriteFile(entities, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		case "json":
			knownAt = time.Now().UTC().Format(time.RFC3339Nano)
			send(t, p, "application/x-ndjson", body)
			p.await(t, "gold to have the example", caughtUp)
		case "console":
			var got strings.Builder
			for command := range strings.Lines(body) {
				args := strings.Fields(strings.TrimPrefix(command, "$ energy "))
				for j := range args {
					args[j] = strings.NewReplacer("entities.csv", entities, "2026-03-05T12:00:00Z", knownAt).Replace(args[j])
				}
				out, errOut, _ := tool(t, environment, args...)
				got.WriteString(out + errOut)
			}
			const masked = "2026-03-05T10:00:00.000000000Z"
			if want := blocks[i+2]; want != "\n"+receivedTime.ReplaceAllString(got.String(), masked) {
				t.Errorf("%s\n%s", body, cmp.Diff(want, "\n"+got.String()))
				blocks[i+2] = "\n" + receivedTime.ReplaceAllString(got.String(), masked)
			}
		}
	}
	if made := os.Getenv("ENERGY_DOCS_MADE"); made != "" {
		if err := os.WriteFile(made, []byte(strings.Join(blocks, "```")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
