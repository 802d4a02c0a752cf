package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/lifecycle"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/services/internal/app"
	"github.com/energy-platform/energy/services/internal/apply"
	"github.com/energy-platform/energy/services/internal/settings"
)

// assembly is parts of a platform in this process, started one by one.
type assembly struct {
	*app.Platform
	settings settings.All
	url      string
	database string
	js       jetstream.JetStream
	monitor  *health.Monitor
}

// assemble connects to servers of its own, which keep what was read for that long.
func assemble(t *testing.T, horizon time.Duration) *assembly {
	t.Helper()
	nats := natstest.Server(t)
	provision(t, nats.URL(), 4)
	a := &assembly{url: nats.URL(), database: database(t), monitor: health.New("parts", app.Runbook)}
	var err error
	a.settings, err = config.Load[settings.All](map[string]string{
		"ENERGY_NATS_URL": a.url, "DATABASE_URL": a.database, "ENERGY_REPLAY_HORIZON": horizon.String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.js, err = broker.JetStream(natstest.Connect(t, nats)); err != nil {
		t.Fatal(err)
	}
	a.Platform, err = app.Open(t.Context(), app.Needs{
		Common: a.settings.Common, Broker: a.settings.Broker, Postgres: &a.settings.Postgres, Name: "parts",
		Syncs: &broker.Durability{Known: true, SyncAlways: true}, // as good as: no machine dies
	}, a.monitor, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Platform.Close)
	return a
}

// run runs parts until the test ends.
func (a *assembly) run(t *testing.T, parts ...lifecycle.Run) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- lifecycle.All(ctx, parts...) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// stream returns a stream once it is as wanted.
func (a *assembly) stream(t *testing.T, name string, wanted func(broker.StreamStatus) bool) broker.StreamStatus {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		s, err := broker.Stream(t.Context(), a.js, name)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %+v; health is %+v", name, s, a.monitor.Status(t.Context()))
		}
	}
}

func swept(s broker.StreamStatus) bool { return s.LastSequence > 0 && s.Messages == 1 }

// TestSilverUnreadBeyondTheHorizonLosesNothing leaves SILVER unread for much longer than
// what was read is kept: READINGS and BRONZE are removed meanwhile, SILVER is not, and
// gold, when it comes, has everything (invariant 19).
func TestSilverUnreadBeyondTheHorizonLosesNothing(t *testing.T) {
	t.Parallel()
	const horizon = time.Second
	a := assemble(t, horizon)
	files := parts(t, 2500, 2)
	p := &platform{natsURL: a.url, databaseURL: a.database}
	if err := p.publish(t.Context(), files, 100); err != nil {
		t.Fatal(err)
	}
	a.run(t, a.Ingest(a.settings.Stage, 0), a.Cleaner(a.settings.Stage), a.Janitor(a.settings.History))
	a.stream(t, broker.StreamReadings, swept)
	a.stream(t, broker.StreamBronze, swept)
	silver := a.stream(t, broker.StreamSilver, func(s broker.StreamStatus) bool {
		return s.Messages > 0 && time.Since(s.FirstTime) > 4*horizon
	})
	if silver.FirstSequence != 1 || silver.Messages != silver.LastSequence {
		t.Errorf("of SILVER, which nobody has read, something is gone: %+v", silver)
	}

	a.run(t, a.Aggregator(a.settings.Stage, a.settings.Gold))
	a.stream(t, broker.StreamSilver, swept)
	whole := embedded(t)
	if err := whole.publish(t.Context(), files, 500); err != nil {
		t.Fatal(err)
	}
	whole.await(t, "gold to catch up", caughtUp)
	sameRows(t, "values", whole.rows(t, "gold.values"), p.rows(t, "gold.values"))
}

// TestAFullReadingsRefusesUntilThereIsRoom fills READINGS while nobody reads it: a
// JetStream publisher is told, a plain NATS publisher is not, and neither is stored. When
// readers and the janitor have made room it takes in again, and gold has exactly what was
// acknowledged (invariant 19). What MQTT publishers see is held by
// TestAPubackDoesNotMeanStored.
func TestAFullReadingsRefusesUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	a := assemble(t, time.Second)
	topology, err := broker.Open(t.Context(), a.js)
	if err != nil {
		t.Fatal(err)
	}
	topology.Limits.Readings = 20_000
	if err := broker.Provision(t.Context(), a.js, topology); err != nil {
		t.Fatal(err)
	}
	publisher, err := broker.NewPublisher(a.js, broker.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	at, sent := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 0
	next := func() *nats.Msg {
		sent++
		return &nats.Msg{Subject: "readings.full", Data: fmt.Appendf(nil,
			`{"entity_id":"full","metric":"voltage","unit":"V","value":230,"time":%q}`,
			at.Add(time.Duration(sent)*time.Second).Format(time.RFC3339))}
	}
	acked := 0
	for err == nil {
		if _, err = publisher.PublishAll(t.Context(), []*nats.Msg{next()}); err == nil {
			acked++
		}
	}
	if !errors.Is(err, broker.ErrStreamFull) || !broker.IsRefusal(err) || acked == 0 {
		t.Fatalf("after %d messages: %v", acked, err)
	}
	before := a.stream(t, broker.StreamReadings, func(broker.StreamStatus) bool { return true })
	if err := a.Conn().PublishMsg(next()); err != nil {
		t.Errorf("a plain publisher is told: %v", err)
	}
	if err := a.Conn().FlushTimeout(patience); err != nil {
		t.Error(err)
	}
	after := a.stream(t, broker.StreamReadings, func(broker.StreamStatus) bool { return true })
	if after.LastSequence != before.LastSequence {
		t.Errorf("a full stream has taken in %d messages", after.LastSequence-before.LastSequence)
	}

	a.run(t, a.Janitor(a.settings.History))
	awaitHealth(t, a, "stream READINGS", health.Degraded)
	a.run(t, a.Ingest(a.settings.Stage, 0), a.Cleaner(a.settings.Stage), a.Aggregator(a.settings.Stage, a.settings.Gold))
	m := next()
	err = new(broker.Backoff).Retry(t.Context(), broker.IsRetryable, func(error) {}, func() error {
		_, err := publisher.PublishAll(t.Context(), []*nats.Msg{m})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	acked++
	awaitHealth(t, a, "stream READINGS", "")
	p := &platform{natsURL: a.url, databaseURL: a.database}
	awaitRows(t, p, acked)
}

// TestAStallBacksUpToTheProducer has nobody read SILVER: it becomes full, then BRONZE, then
// READINGS, and the producer is refused, while health says of each stage what stops it.
// When gold-aggregator comes everything moves on, and nothing is lost (invariant 19).
func TestAStallBacksUpToTheProducer(t *testing.T) {
	t.Parallel()
	a := assemble(t, time.Second)
	topology, err := broker.Open(t.Context(), a.js)
	if err != nil {
		t.Fatal(err)
	}
	const limit = 30_000
	topology.Limits.Readings, topology.Limits.Bronze, topology.Limits.Silver = limit, limit, limit
	if err := broker.Provision(t.Context(), a.js, topology); err != nil {
		t.Fatal(err)
	}
	a.run(t, a.Ingest(a.settings.Stage, 0), a.Cleaner(a.settings.Stage), a.Janitor(a.settings.History))
	publisher, err := broker.NewPublisher(a.js, broker.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	at, acked := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 0
	for deadline := time.Now().Add(patience); ; {
		_, err := publisher.PublishAll(t.Context(), []*nats.Msg{{Subject: "readings.stall", Data: fmt.Appendf(nil,
			`{"entity_id":"stall-%d","metric":"voltage","unit":"V","value":230,"time":%q}`,
			acked%50, at.Add(time.Duration(acked)*time.Second).Format(time.RFC3339))}})
		if err == nil {
			acked++
			continue
		}
		if !errors.Is(err, broker.ErrStreamFull) {
			t.Fatal(err)
		}
		status := a.monitor.Status(t.Context())
		if troubled(status, "ingest.0", "stream is full") && troubled(status, "silver.", "stream is full") &&
			troubled(status, "stream SILVER", "gold.") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %d readings health is %+v", acked, status)
		}
	}
	a.run(t, a.Aggregator(a.settings.Stage, a.settings.Gold))
	awaitRows(t, &platform{natsURL: a.url, databaseURL: a.database}, acked)
}

// TestApplyingNeedsLessRoomThanThereIsToRead applies a catalogue while READINGS holds
// more than BRONZE has room for: what is judged again makes room for what ingest has to
// pass on until all is.
func TestApplyingNeedsLessRoomThanThereIsToRead(t *testing.T) {
	t.Parallel()
	a := assemble(t, time.Second)
	topology, err := broker.Open(t.Context(), a.js)
	if err != nil {
		t.Fatal(err)
	}
	topology.Limits.Bronze = 20_000 // less than half of what the readings take
	if err := broker.Provision(t.Context(), a.js, topology); err != nil {
		t.Fatal(err)
	}
	a.settings.Stage.BatchBytes = 8 << 10
	p := &platform{natsURL: a.url, databaseURL: a.database}
	a.run(t, a.Cleaner(a.settings.Stage), a.Aggregator(a.settings.Stage, a.settings.Gold), a.Janitor(a.settings.History))
	p.apply(t, site)
	var readings []map[string]any
	for hour := range 3 {
		readings = append(readings, siteReadings(siteStart.Add(time.Duration(hour)*time.Hour), 20)...)
	}
	publishReadings(t, a.js, readings)

	waits, ended := make(chan struct{}), make(chan error, 1)
	store := p.store(t)
	go func() {
		told := false
		done, err := apply.Run(t.Context(), apply.Deps{
			JetStream: a.js, Store: store, Logger: slog.New(slog.DiscardHandler),
			Progress: func(p apply.Progress) {
				if !told && p.Unread > 0 { // its markers are in BRONZE
					told = true
					close(waits)
				}
			},
		}, []byte(mended))
		if err == nil && done.Readings < uint64(len(readings))/2 {
			err = fmt.Errorf("%d readings were judged again", done.Readings)
		}
		ended <- err
	}()
	select {
	case <-waits:
	case err := <-ended:
		t.Fatalf("applying has not waited for ingest: %v", err)
	}
	a.run(t, a.Ingest(a.settings.Stage, 0))
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		bronze, err := broker.Stream(t.Context(), a.js, broker.StreamBronze)
		t.Fatalf("applying waits; BRONZE is %+v, %v; health is %+v", bronze, err, a.monitor.Status(t.Context()))
	}
	if s := a.stream(t, broker.StreamBronze, func(broker.StreamStatus) bool { return true }); s.FirstSequence < 2 {
		t.Errorf("all was in BRONZE at a time: %+v", s)
	}
	awaitRows(t, p, len(readings)-2*20*3) // voltages out of range
	if diff := cmp.Diff(neverWrong(t, readings), p.statistics(t)); diff != "" {
		t.Errorf("gold differs from that of a platform that never had the faults (-want +got):\n%s", diff)
	}
}

// troubled reports whether a component whose name begins like that is degraded for want of
// room somewhere, and says why and where is written what to do.
func troubled(s health.Status, component, why string) bool {
	return slices.ContainsFunc(s.Components, func(c health.Component) bool {
		return strings.HasPrefix(c.Name, component) && c.State == health.Degraded && strings.Contains(c.Detail, why) &&
			c.Runbook == "docs/runbooks/stream-full.md"
	})
}

// awaitHealth waits until a component is in a state; "" means that it is not listed.
func awaitHealth(t *testing.T, a *assembly, component string, wanted health.State) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		status := a.monitor.Status(t.Context())
		var is health.State
		for _, c := range status.Components {
			if c.Name == component {
				is = c.State
			}
		}
		if is == wanted {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not %q: %+v", component, wanted, status)
		}
	}
}

// awaitRows waits until gold has that many readings.
func awaitRows(t *testing.T, p *platform, wanted int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		has := 0
		p.sql(t, "SELECT coalesce(sum(count), 0)::int FROM gold.base", nil, func(scan func(...any)) { scan(&has) })
		if has == wanted {
			return
		}
		if has > wanted || time.Now().After(deadline) {
			t.Fatalf("gold has %d readings of %d", has, wanted)
		}
	}
}
