package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/apply"
	"github.com/energy-platform/energy/services/internal/cli"
)

// site is a catalogue with faults that are mended later: a unit with a wrong
// factor, a range that is too tight above and none below, too patient a max_gap,
// and a register that knows no noise.
const site = `
units:
  kWh: {dimension: energy}
  dWh: {dimension: energy, den: 1000}
  kW: {dimension: power, integral: kWh}
  V: {dimension: voltage}
metrics:
  site_energy: {kind: interval, unit: kWh, length: 15m}
  site_voltage: {kind: gauge, unit: V, max: 250}
  site_power: {kind: gauge, integrate: linear, unit: kW, max_gap: 1h}
  site_index: {kind: register, unit: kWh}
`

var mended = strings.NewReplacer(
	"den: 1000", "den: 10000",
	"max: 250", "min: 100, max: 300",
	"max_gap: 1h", "max_gap: 10m",
	"kind: register, unit: kWh", "kind: register, unit: kWh, dip_tolerance: 5",
).Replace(site)

// cli runs the tool against the platform and returns what it wrote.
func (p *platform) cli(t *testing.T, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	status := cli.Main(args, []string{"ENERGY_NATS_URL=" + p.natsURL, "DATABASE_URL=" + p.databaseURL},
		cli.Streams{Out: &out, Err: &errOut})
	if status != 0 {
		t.Fatalf("energy %s: status %d\n%s", strings.Join(args, " "), status, errOut.String())
	}
	return out.String()
}

// apply applies a catalogue by the tool and returns what it wrote.
func (p *platform) apply(t *testing.T, document string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return p.cli(t, "catalog", "apply", file)
}

// siteReadings is an hour of a site, for several entities that lie in all
// partitions.
func siteReadings(from time.Time, entities int) []map[string]any {
	var all []map[string]any
	add := func(entity int, metric, unit string, minute int, value float64) {
		all = append(all, map[string]any{
			"entity_id": fmt.Sprintf("site-%d", entity), "metric": metric, "unit": unit,
			"time": from.Add(time.Duration(minute) * time.Minute), "value": value,
		})
	}
	for e := range entities {
		for minute := 0; minute < 60; minute += 15 {
			add(e, "site_energy", "dWh", minute, float64(2500+minute))
			add(e, "site_power", "kW", minute, float64(minute))
			add(e, "site_index", "kWh", minute, []float64{100, 98, 101, 104}[minute/15])
			add(e, "site_voltage", "V", minute, []float64{230, 260, 50, 310}[minute/15])
			add(e, "undeclared", "dWh", minute, 5)
		}
	}
	return all
}

func publishReadings(t *testing.T, js jetstream.JetStream, all []map[string]any) {
	t.Helper()
	for len(all) > 0 {
		n := min(len(all), 7)
		payload, err := json.Marshal(all[:n])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "readings.site", payload); err != nil {
			t.Fatal(err)
		}
		all = all[n:]
	}
}

// statistics is what the rows say, without the versions that they hold: those
// that lost differ between a platform that was mended and one that never erred.
func (p *platform) statistics(t *testing.T) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	result, err := conn.Query(t.Context(), `
SELECT (to_jsonb(v) - 'samples' - 'epoch')::text FROM gold.values v
WHERE count > 0 ORDER BY entity, metric, unit, start, width`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(result, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

var siteStart = time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)

// neverWrong returns the statistics of a platform that had the mended catalogue
// from the start.
func neverWrong(t *testing.T, readings []map[string]any) []string {
	t.Helper()
	p := embedded(t)
	p.apply(t, mended)
	publishReadings(t, p.jetStream(t), readings)
	p.await(t, "gold to catch up", caughtUp)
	return p.statistics(t)
}

// TestCatalog proves invariant 17.
func TestCatalog(t *testing.T) {
	t.Parallel()
	readings := siteReadings(siteStart, 6)
	want := neverWrong(t, readings)

	t.Run("MendsWhatIsStored", func(t *testing.T) {
		t.Parallel()
		p := embedded(t)
		p.apply(t, site)
		publishReadings(t, p.jetStream(t), readings)
		p.await(t, "gold to catch up", caughtUp)
		if cmp.Equal(want, p.statistics(t)) {
			t.Fatal("the first catalogue has no faults")
		}
		if out := p.apply(t, mended); !strings.Contains(out, "judged otherwise    site_energy, site_index, site_voltage; and") ||
			!strings.Contains(out, "computed otherwise  site_index, site_power") {
			t.Errorf("the changes are not told:\n%s", out)
		}
		if diff := cmp.Diff(want, p.statistics(t)); diff != "" {
			t.Fatalf("gold differs from that of a platform that never had the faults (-want +got):\n%s", diff)
		}
		if s := p.await(t, "gold to catch up", caughtUp); s.GetMissing() != 0 {
			t.Errorf("%d readings are missing", s.GetMissing())
		}

		// Applied again, and with its duplicates, nothing changes.
		content := p.rows(t, "gold.content")
		if out := p.apply(t, mended); !strings.Contains(out, "epoch 3") || !strings.Contains(out, "in force already") {
			t.Errorf("the same file again:\n%s", out)
		}
		publishReadings(t, p.jetStream(t), readings)
		p.await(t, "gold to catch up", caughtUp)
		sameRows(t, "content", content, p.rows(t, "gold.content"))
		if got := p.cli(t, "catalog", "show"); got != mended {
			t.Errorf("catalog show gives\n%s", got)
		}
	})
	t.Run("RecomputesWithoutBronze", func(t *testing.T) {
		t.Parallel()
		p := embedded(t)
		// Only parameters of gold are wrong.
		p.apply(t, strings.NewReplacer("max_gap: 10m", "max_gap: 1h", ", dip_tolerance: 5", "").Replace(mended))
		js := p.jetStream(t)
		publishReadings(t, js, readings)
		p.await(t, "gold to catch up", caughtUp)
		for _, name := range []string{broker.StreamReadings, broker.StreamBronze, broker.StreamSilver} {
			stream, err := js.Stream(t.Context(), name)
			if err == nil {
				err = stream.Purge(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		p.apply(t, mended)
		if diff := cmp.Diff(want, p.statistics(t)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
	t.Run("GoesOnWhereItWasStopped", func(t *testing.T) {
		t.Parallel()
		p := embedded(t)
		p.apply(t, site)
		js := p.jetStream(t)
		publishReadings(t, js, readings)
		p.await(t, "gold to catch up", caughtUp)
		p.applyStopped(t, js, mended, 1) // the epoch is in force, nothing follows it
		publishReadings(t, js, readings) // judged under the new epoch
		p.applyStopped(t, js, mended, 2) // what stands in bronze is judged again
		p.apply(t, mended)
		if diff := cmp.Diff(want, p.statistics(t)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
	// What comes in behind the markers, while applying is stopped, is not judged again
	// when it is taken up: no version differs, whether it counts or not.
	t.Run("JudgesTheSameAgainWhenItWasStopped", func(t *testing.T) {
		t.Parallel()
		later := siteReadings(siteStart.Add(time.Hour), 6)
		values := func(stop bool) []string {
			p := embedded(t)
			p.apply(t, site)
			js := p.jetStream(t)
			publishReadings(t, js, readings)
			p.await(t, "gold to catch up", caughtUp)
			if stop {
				p.applyStopped(t, js, mended, 2) // what stands in bronze is judged again
			} else {
				p.apply(t, mended)
			}
			publishReadings(t, js, later)
			p.await(t, "gold to catch up", caughtUp)
			sent := silverEnd(t, js)
			p.apply(t, mended)
			if end := silverEnd(t, js); end != sent {
				t.Errorf("taken up again, it sent messages %d to %d", sent+1, end)
			}
			return p.rows(t, "gold.values")
		}
		sameRows(t, "values", values(false), values(true))
	})
	t.Run("RefusesWhatIsWrong", func(t *testing.T) {
		t.Parallel()
		p := embedded(t)
		p.apply(t, site)
		js := p.jetStream(t)
		publishReadings(t, js, readings)
		p.await(t, "gold to catch up", caughtUp)
		store := p.store(t)
		for document, want := range map[string]string{
			strings.Replace(site, "max: 250", "max: 250, min: 300", 1):             "line 9: metric site_voltage: min 300 is above max 250",
			strings.Replace(site, "length: 15m", "length: 15m, window: 5m", 1):     "metric site_energy has window 15m0s and readings",
			strings.Replace(site, "unit: kW,", "unit: kW, windw: 1m,", 1):          "line 10: field windw not found",
			strings.Replace(site, "max: 250", "expectations: {a: {expect: x}}", 1): "undeclared reference to 'x'",
		} {
			deps := apply.Deps{JetStream: js, Store: store, Logger: slog.New(slog.DiscardHandler)}
			_, err := apply.Run(t.Context(), deps, []byte(document))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if got := p.cli(t, "catalog", "show"); got != site {
			t.Errorf("the catalogue has changed:\n%s", got)
		}
	})
}

func (p *platform) store(t *testing.T) *goldstore.Store {
	t.Helper()
	store, err := goldstore.Open(t.Context(), p.databaseURL, goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// applyStopped applies a document and is stopped when it tells of its progress
// for the nth time.
func (p *platform) applyStopped(t *testing.T, js jetstream.JetStream, document string, nth int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := apply.Run(ctx, apply.Deps{
		JetStream: js, Store: p.store(t), Logger: slog.New(slog.DiscardHandler),
		Progress: func(apply.Progress) {
			if nth--; nth == 0 {
				cancel()
			}
		},
	}, []byte(document))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("applying was not stopped: %v", err)
	}
}

// silverEnd returns the last sequence of SILVER.
func silverEnd(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	silver, err := broker.Stream(t.Context(), js, broker.StreamSilver)
	if err != nil {
		t.Fatal(err)
	}
	return silver.LastSequence
}
