package e2e_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/services/internal/replay"
	"github.com/energy-platform/energy/services/internal/verify"
)

var layers = []string{"readings", "bronze", "silver"}

// purge removes a third of what a stream holds, as the janitor does.
func purge(t *testing.T, js jetstream.JetStream, name string) {
	t.Helper()
	s, err := broker.Stream(t.Context(), js, name)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), name)
	if err == nil {
		err = stream.Purge(t.Context(), jetstream.WithPurgeSequence(s.FirstSequence+(s.LastSequence-s.FirstSequence)/3))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerifyBesideASweepingJanitor removes what was read from all streams before each
// step of verifying: what is gone cannot be checked, and is no difference.
func TestVerifyBesideASweepingJanitor(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.someFleet(t)
	p.await(t, "gold to have the fleet", caughtUp)
	js := p.jetStream(t)
	for layer := replay.Readings; layer <= replay.Silver; layer++ {
		report, err := verify.Run(t.Context(), verify.Config{
			JetStream: js, Store: p.store(t), Logger: slog.New(slog.DiscardHandler), Layer: layer, Dir: t.TempDir(),
			Differs: func(d *verify.Difference) { t.Errorf("%s differs: %s", layer, d) },
			Orphan:  func(d *verify.Difference) { t.Errorf("%s has lost its tail: %s", layer, d) },
			Lost:    func(r *goldstore.QuarantineRow) { t.Errorf("%s: %+v is lost", layer, r) },
			Began: func(verify.Step) {
				for _, name := range []string{broker.StreamReadings, broker.StreamBronze, broker.StreamSilver} {
					purge(t, js, name)
				}
			},
		})
		if err != nil || report.Readings == 0 || report.Unverifiable == 0 || report.Rows < report.Unverifiable {
			t.Errorf("%s: %+v, %v", layer, report, err)
		}
	}
}

// TestVerifyAfterTheBrokerLostItsTail restores the broker to an older state: what it
// has lost is in gold, and is neither a difference nor verified, before the stages
// notice and afterwards.
//
//nolint:tparallel // each session goes on from the one before
func TestVerifyAfterTheBrokerLostItsTail(t *testing.T) {
	t.Parallel()
	url, root := database(t), t.TempDir()
	dir, older := filepath.Join(root, "broker"), filepath.Join(root, "older")
	at := func(dir string) func(*localnats.Options) { return func(o *localnats.Options) { o.Dir = dir } }
	begin := func(t *testing.T, dir string) *platform {
		t.Helper()
		return embeddedWith(t, map[string]string{"DATABASE_URL": url}, at(dir))
	}
	feed := func(t *testing.T, p *platform, hours ...int) {
		t.Helper()
		js := p.jetStream(t)
		for _, hour := range hours {
			publishReadings(t, js, siteReadings(siteStart.Add(time.Duration(hour)*time.Hour), 6))
		}
	}
	check := func(t *testing.T, p *platform, layer string) {
		t.Helper()
		status, out := p.tool(url, "verify", "--layer", layer)
		if status != 0 || !strings.Contains(out, " 0 differ") || !strings.Contains(out, "\norphan") && !strings.HasPrefix(out, "orphan") ||
			!strings.Contains(out, "the broker came back without its tail") {
			t.Errorf("verify --layer %s ends with %d:\n%s", layer, status, out)
		}
	}
	t.Run("Kept", func(t *testing.T) {
		p := begin(t, dir)
		p.apply(t, site)
		feed(t, p, 0, 1)
		p.await(t, "gold to catch up", caughtUp)
	})
	if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	t.Run("Lost", func(t *testing.T) {
		p := begin(t, dir)
		feed(t, p, 2, 3)
		p.await(t, "gold to catch up", caughtUp)
	})
	t.Run("Unnoticed", func(t *testing.T) {
		nats := natstest.Server(t, at(older))
		p := &platform{natsURL: nats.URL(), databaseURL: url}
		for _, layer := range layers {
			check(t, p, layer)
		}
		feed(t, p, 5, 6, 7)
		for _, layer := range layers {
			check(t, p, layer)
		}
	})
	t.Run("Noticed", func(t *testing.T) {
		p := begin(t, older)
		p.await(t, "gold to catch up", caughtUp)
		feed(t, p, 8)
		p.await(t, "gold to catch up", caughtUp)
		for _, layer := range layers {
			check(t, p, layer)
		}
	})
}

// TestVerifyAnotherDatabase: a database that batch runs have filled is held against
// what they have read, whatever the layer, and not against what came later.
func TestVerifyAnotherDatabase(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	js := p.jetStream(t)
	p.apply(t, site)
	publishReadings(t, js, siteReadings(siteStart, 6))
	p.await(t, "gold to catch up", caughtUp)
	filled := make(map[string]string)
	for _, layer := range layers {
		filled[layer] = database(t)
		p.batch(t, filled[layer], "--layer", layer)
	}
	publishReadings(t, js, siteReadings(siteStart.Add(30*time.Minute), 6))
	p.await(t, "gold to catch up", caughtUp)
	const uncovered = "only what it does hold"
	for by, url := range filled {
		for _, layer := range layers {
			if layer != "readings" && by == "readings" || by == layer {
				if out := p.verified(t, url, layer); strings.Contains(out, uncovered) {
					t.Errorf("%s of a database filled from %s checks nothing:\n%s", layer, by, out)
				}
			} else if status, out := p.tool(url, "verify", "--layer", layer); status != 0 || !strings.Contains(out, uncovered) {
				t.Errorf("%s of a database filled from %s ends with %d:\n%s", layer, by, status, out)
			}
		}
		execSQL(t, url, "DELETE FROM gold.base WHERE ctid = (SELECT min(ctid) FROM gold.base WHERE count > 0)")
		if status, out := p.tool(url, "verify", "--layer", by); status != 1 || !strings.Contains(out, "is missing, with ") {
			t.Errorf("a row is gone of a database filled from %s, and verify ends with %d:\n%s", by, status, out)
		}
	}
	t.Run("AsJSON", func(t *testing.T) {
		t.Parallel()
		status, out := p.tool(filled["readings"], "verify", "--format", "json")
		found := make(map[string]map[string]any)
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "{") {
				continue // of the error
			}
			if err := json.Unmarshal([]byte(line), &found); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
		}
		if status != 1 || found["report"]["differences"] != 1.0 || found["report"]["layer"] != "readings" ||
			found["differs"]["entity_id"] == nil || found["differs"]["what"] == nil {
			t.Errorf("verify ends with %d:\n%s", status, out)
		}
	})
}
