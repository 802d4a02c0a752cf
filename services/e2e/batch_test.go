package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// batch runs a batch by the tool and returns what it wrote.
func (p *platform) batch(t *testing.T, url string, args ...string) string {
	t.Helper()
	status, out := p.tool(url, append([]string{"run-batch", "--max-lag", "0"}, args...)...)
	if status != 0 {
		t.Fatalf("energy run-batch %s ends with %d:\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

// on returns the platform with another database.
func (p *platform) on(url string) *platform {
	other := *p
	other.databaseURL = url
	return &other
}

// TestRunBatch: a replay ends in the bytes of the live platform (invariants 3, 18).
func TestRunBatch(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	js := p.jetStream(t)
	p.someFleet(t)
	p.await(t, "gold to have the fleet", caughtUp)
	live := p.rows(t, "gold.content")

	t.Run("FillsAnotherDatabase", func(t *testing.T) {
		t.Parallel()
		for _, layer := range []string{"readings", "bronze", "silver"} {
			second := database(t)
			out := p.batch(t, second, "--layer", layer)
			if !strings.Contains(out, " 0 changed, 0 unchanged") {
				t.Errorf("%s:\n%s", layer, out)
			}
			sameRows(t, layer, live, p.on(second).rows(t, "gold.content"))
			out = p.batch(t, second, "--layer", layer)
			if !strings.Contains(out, "windows    0 new, 0 changed, ") {
				t.Errorf("%s again:\n%s", layer, out)
			}
		}
	})
	_, _ = js, time.Now
}
