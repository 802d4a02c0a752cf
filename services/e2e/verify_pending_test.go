package e2e_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/replay"
	"github.com/energy-platform/energy/services/internal/verify"
)

// TestVerifyWhileStagesStandStill verifies what the stages have left, with messages in
// BRONZE that silver-cleaner has still to read: what may come of them is neither lost nor
// different, and what cannot be told from it is not called verified (invariant 21).
//
//nolint:tparallel // the sessions share a broker's folder
func TestVerifyWhileStagesStandStill(t *testing.T) {
	t.Parallel()
	url, dir := database(t), filepath.Join(t.TempDir(), "broker")
	at := func(o *localnats.Options) { o.Dir = dir }
	t.Run("Fed", func(t *testing.T) {
		p := embeddedWith(t, map[string]string{"DATABASE_URL": url}, at)
		p.apply(t, site)
		publishReadings(t, p.jetStream(t), siteReadings(siteStart, 6))
		p.await(t, "gold to catch up", caughtUp)
	})
	t.Run("StandingStill", func(t *testing.T) {
		p := &platform{natsURL: natstest.Server(t, at).URL(), databaseURL: url}
		js := p.jetStream(t)
		if _, err := js.Publish(t.Context(), broker.BronzeSubject(0), []byte("no batch")); err != nil {
			t.Fatal(err)
		}
		out := p.verified(t, url, "bronze")
		if !strings.Contains(out, "1 versions and refusals may still be on their way") {
			t.Errorf("what nobody can read is not on its way:\n%s", out)
		}
		for partition := range broker.DefaultTopology().Partitions {
			var bronze wire.BronzeEncoder
			for _, sequence := range []uint64{1, 3} {
				bronze.Add(reading.Reading{EntityID: "a", Metric: "u"}, reading.Stamp{Received: 1, Sequence: sequence})
			}
			data, err := bronze.Marshal()
			if err == nil {
				_, err = js.Publish(t.Context(), broker.BronzeSubject(partition), data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		execSQL(t, url, "DELETE FROM gold.base WHERE ctid = (SELECT min(ctid) FROM gold.base WHERE count > 0)")
		if status, out := p.tool(url, "verify"); status != 1 || !strings.Contains(out, "is missing, with ") {
			t.Errorf("a row is gone, and verify ends with %d:\n%s", status, out)
		}
		report, err := verify.Run(t.Context(), verify.Config{
			JetStream: js, Store: p.store(t), Logger: slog.New(slog.DiscardHandler), Layer: replay.Readings,
			Dir: t.TempDir(), MaxPending: 1,
			Differs: func(d *verify.Difference) { t.Errorf("%s differs", d) },
			Orphan:  func(d *verify.Difference) { t.Errorf("%s is an orphan", d) },
			Lost:    func(r *goldstore.QuarantineRow) { t.Errorf("%+v is lost", r) },
		})
		if err != nil || report.Readings == 0 || report.Untold < report.Readings {
			t.Errorf("%+v, %v", report, err)
		}
	})
}
