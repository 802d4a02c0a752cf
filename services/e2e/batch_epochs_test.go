package e2e_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/job"
)

// TestRunBatchWhileAnEpochIsPending replays into the live database while an epoch is in
// force and not applied, with its markers and without: what that writes is what applying
// gives (invariant 21).
func TestRunBatchWhileAnEpochIsPending(t *testing.T) {
	t.Parallel()
	for name, nth := range map[string]int{"BeforeItsMarkers": 1, "BehindItsMarkers": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := embedded(t)
			js := p.jetStream(t)
			p.apply(t, site)
			publishReadings(t, js, siteReadings(siteStart, 6))
			p.await(t, "gold to catch up", caughtUp)
			p.applyStopped(t, js, mended, nth)
			publishReadings(t, js, siteReadings(siteStart.Add(time.Hour), 6))
			p.await(t, "gold to catch up", caughtUp)
			p.batch(t, p.databaseURL)
			p.apply(t, mended)
			p.await(t, "gold to catch up", caughtUp)
			for _, layer := range layers {
				p.verified(t, p.databaseURL, layer)
			}
		})
	}
}

// TestResumeUnderAnotherEpoch stops a run, changes the catalogue, and goes on: half of
// gold would be judged by another epoch.
func TestResumeUnderAnotherEpoch(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	js := p.jetStream(t)
	p.apply(t, site)
	publishReadings(t, js, siteReadings(siteStart, 6))
	p.await(t, "gold to catch up", caughtUp)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	url := database(t)
	record, err := batch.Run(ctx, batch.Config{
		JetStream: js, Store: p.on(url).store(t), Logger: slog.New(slog.DiscardHandler), Dir: t.TempDir(),
		Job: job.Job{Layer: "readings"}, Progress: func(now batch.Progress) {
			if now.Step == "write" {
				stop()
			}
		},
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the run was not stopped: %v", err)
	}
	p.apply(t, mended)
	status, out := p.tool(url, "run-batch", "--resume", record.ID)
	if status != 1 || !strings.Contains(out, "run it anew") || strings.Contains(out, "goes on with it") {
		t.Errorf("resumed under another epoch: %d\n%s", status, out)
	}
	p.batch(t, url)
	sameRows(t, "run anew", p.rows(t, "gold.content"), p.on(url).rows(t, "gold.content"))
}
