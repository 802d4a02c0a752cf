package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/localnats"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/publish"
)

// durabilityVariable asks for the whole household, of which a part is published
// otherwise: `make bench-durable` sets it.
const durabilityVariable = "ENERGY_BENCH_DURABLE"

// TestWhatDurabilityCosts publishes the same to a platform whose broker syncs every
// second and to one whose broker syncs each message before it acknowledges it, and says
// how much longer that takes, until all is acknowledged and until all is in gold. Both
// end in the same values.
func TestWhatDurabilityCosts(t *testing.T) {
	t.Parallel()
	files := []string{householdFile}
	if os.Getenv(durabilityVariable) == "" {
		files = parts(t, 2500, 1)
	}
	type took struct{ published, inGold time.Duration }
	measure := func(always bool, batch int) (*platform, took) {
		p := embedded(t, func(o *localnats.Options) {
			o.SyncAlways, o.SyncInterval = always, localnats.DefaultSyncInterval
		})
		p.status(t) // it stands
		began := time.Now()
		r := p.household(t, func(o *publish.Options) { o.Files, o.BatchSize = files, batch })
		published := time.Since(began)
		p.await(t, "gold to have all", caughtUp)
		inGold := time.Since(began)
		t.Logf("synced always %t, %d readings a message: %.0f readings/s acknowledged, %.0f/s in gold", always, batch,
			float64(r.Acknowledged)/published.Seconds(), float64(r.Acknowledged)/inGold.Seconds())
		return p, took{published, inGold}
	}
	for _, batch := range []int{publish.DefaultBatchSize, 50} {
		second, quick := measure(false, batch)
		always, slow := measure(true, batch)
		t.Logf("%d readings a message: syncing always takes %.2f times as long until acknowledged, %.2f until in gold",
			batch, slow.published.Seconds()/quick.published.Seconds(), slow.inGold.Seconds()/quick.inGold.Seconds())
		sameRows(t, "values", second.rows(t, "gold.values"), always.rows(t, "gold.values"))
	}
}

// TestDurableSurvivesSIGKILL kills `energy up --durable` while readings are published to
// it, again and again. Everything that was acknowledged is in gold after the next start.
func TestDurableSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	dir := upFolder(t)
	acked := make(map[int]bool)
	for round := range 3 {
		up := startUp(t, dir, "energy publish FILE", "--durable")
		said := up.out.String()
		if !strings.Contains(said, "loss     nothing that was acknowledged is lost unless the broker's disk is") {
			t.Errorf("it does not say what may be lost:\n%s", said)
		}
		publishUntilKilled(t, up, round*1_000_000, acked)
	}
	up := startUp(t, dir, "energy publish FILE", "--durable")
	p := &platform{query: queryClient(t, up.grpc)}
	p.await(t, "gold to have all", caughtUp)
	in := make(map[int]bool)
	answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(24 * 365 * time.Hour)}},
	})
	up.end(t)
	for series := range answers {
		var n int
		if _, err := fmt.Sscanf(series, "kill-%d voltage", &n); err != nil {
			t.Errorf("gold has %q: %v", series, err)
		}
		in[n] = true
	}
	for n := range acked {
		if !in[n] {
			t.Fatalf("reading %d of %d was acknowledged and is lost", n, len(acked))
		}
	}
	if len(acked) < 3*200 {
		t.Errorf("only %d readings were acknowledged", len(acked))
	}
}

// publishUntilKilled publishes readings of an entity each, kills the platform in the
// midst, and notes what was acknowledged.
func publishUntilKilled(t *testing.T, up *upProcess, from int, acked map[int]bool) {
	t.Helper()
	_, url, _ := strings.Cut(up.out.String(), "NATS     ")
	url, _, _ = strings.Cut(url, " ")
	conn, err := nats.Connect(url, nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	const killedAfter = 200
	for n := 0; ; n++ {
		if n == killedAfter { // the next ones race the kill
			go func() { _ = up.cmd.Process.Kill() }()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := js.Publish(ctx, "readings.kill", fmt.Appendf(nil,
			`{"entity_id":"kill-%d","metric":"voltage","unit":"V","value":230,"time":"2026-03-01T10:15:00Z"}`, from+n))
		cancel()
		if err != nil {
			break
		}
		acked[from+n] = true
	}
	if err := <-up.ended; err == nil {
		t.Fatal("energy up was to be killed")
	}
}
