package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	simulated "github.com/energy-platform/energy/pkg/fleet"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/generate"
)

// fleetVariable asks for the fleet at its full size, which takes minutes under
// the race detector: `make test-fleet` sets it.
const fleetVariable = "ENERGY_TEST_FULL_FLEET"

// fleetConfig returns the fleet of the test: everything that can happen to a
// reading happens to some.
func fleetConfig() simulated.Config {
	c := simulated.Default()
	c.Series, c.Days, c.Cadence, c.Window = 72, 14, time.Hour, 3*time.Hour
	if os.Getenv(fleetVariable) != "" {
		c.Series, c.Days = 2000, 60
	}
	c.Shares.Duplicates, c.Shares.Late = 0.10, 0.05
	c.Shares.Malformed, c.Shares.Corrected, c.Shares.Withdrawn = 0.02, 0.01, 0.005
	c.Shares.Resets, c.Shares.Exchanges, c.Shares.Rollovers = 0.001, 0.001, 0.3
	return c
}

// TestFleetEqualsItsTruth publishes what a simulated fleet of meters sends, its messages
// shuffled, and holds every answer over gRPC, REST and SQL against what the fleet knows to
// be true (invariant 14).
func TestFleetEqualsItsTruth(t *testing.T) {
	t.Parallel()
	f, err := simulated.New(fleetConfig())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	totals, err := generate.Run(t.Context(), f, generate.Options{Out: dir, Format: generate.Protobuf, Batch: 500})
	if err != nil {
		t.Fatal(err)
	}
	everythingHappens(t, &totals)
	p := embeddedWith(t, map[string]string{"ENERGY_QUERY_TIMEOUT": "10m", "ENERGY_STATEMENT_TIMEOUT": "10m"})
	p.patience = 20 * time.Minute // for the full fleet
	p.status(t)                   // it stands
	began := time.Now()
	p.deliver(t, filepath.Join(dir, "deliveries.jsonl.gz"))
	published := time.Since(began)
	status := p.await(t, "gold to have the fleet", caughtUp)
	took := time.Since(began)
	t.Logf("%d deliveries of %d series published in %s and in gold after %s: %.0f/s", totals.Deliveries, len(f.Series()),
		published.Round(time.Millisecond), took.Round(time.Millisecond), float64(totals.Deliveries)/took.Seconds())
	if status.GetMissing() != 0 {
		t.Errorf("%d readings are missing", status.GetMissing())
	}
	truth := loadTruth(t, dir)
	quarantineEquals(t, p, truth.quarantine)
	for _, by := range []struct {
		name string
		ask  func(*testing.T, *platform, question, func(truthRow))
	}{{"gRPC", askGRPC}, {"REST", askREST}, {"SQL", askSQL}} {
		t.Run(by.name, func(t *testing.T) {
			t.Parallel()
			began, answered := time.Now(), 0
			answered += truth.check(t, truth.windows, func(take func(truthRow)) {
				by.ask(t, p, question{width: f.Config().Window}, take)
			})
			answered += truth.check(t, truth.days, func(take func(truthRow)) {
				for zone, entities := range byZone(f) {
					by.ask(t, p, question{entities: entities, zone: zone}, take)
				}
			})
			t.Logf("%d windows are as the truth in %s", answered, time.Since(began).Round(time.Millisecond))
		})
	}
}

// everythingHappens fails the test if the fleet spares the platform something.
func everythingHappens(t *testing.T, n *simulated.Totals) {
	t.Helper()
	for cause, sent := range n.Sent {
		if sent == 0 {
			t.Errorf("no delivery is %s", simulated.Cause(cause))
		}
	}
	for _, q := range n.Quarantine {
		if q.Count == 0 {
			t.Errorf("nothing is malformed as %s", q.Defect.Name)
		}
	}
	if n.Gaps == 0 || n.Resets == 0 || n.Exchanges == 0 || n.Rollovers == 0 {
		t.Errorf("%d gaps, %d resets, %d exchanges, %d rollovers", n.Gaps, n.Resets, n.Exchanges, n.Rollovers)
	}
}

// deliver publishes the messages of a file in random order and waits for their
// acknowledgements.
func (p *platform) deliver(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var messages []*nats.Msg
	for m, err := range generate.ReadMessages(file) {
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, &nats.Msg{
			Subject: "readings.fleet", Data: m.Payload, Header: nats.Header{"Content-Type": {m.ContentType}},
		})
	}
	dice := rand.New(rand.NewPCG(1, 2))
	dice.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	conn, err := nats.Connect(p.natsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := broker.JetStream(conn)
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := broker.NewPublisher(js, broker.PublisherConfig{AckTimeout: p.patience})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.PublishAll(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

// byZone returns the ids of the entities of each zone.
func byZone(f *simulated.Fleet) map[string][]string {
	zones := make(map[string][]string)
	for _, e := range f.Entities() {
		zones[e.Zone] = append(zones[e.Zone], e.ID)
	}
	return zones
}

// quarantineEquals compares what is refused by stage and rule, over all three.
func quarantineEquals(t *testing.T, p *platform, want map[string]uint64) {
	t.Helper()
	overGRPC := make(map[string]uint64)
	for _, q := range p.status(t).GetQuarantine() {
		overGRPC[q.GetStage()+" "+q.GetRule()] = q.GetReadings()
	}
	code, body := p.rest(t, "GET", "/v1/pipeline/status", "")
	rest := new(energyv1.GetPipelineStatusResponse)
	unmarshal(t, body, rest)
	overREST := make(map[string]uint64)
	for _, q := range rest.GetQuarantine() {
		overREST[q.GetStage()+" "+q.GetRule()] = q.GetReadings()
	}
	inSQL := make(map[string]uint64)
	p.sql(t, "SELECT stage || ' ' || rule, count(*) FROM gold.quarantine WHERE state = 'open' GROUP BY stage, rule",
		nil, func(scan func(...any)) {
			var rule string
			var n uint64
			scan(&rule, &n)
			inSQL[rule] = n
		})
	for by, got := range map[string]map[string]uint64{
		"gRPC": overGRPC, fmt.Sprint("REST ", code): overREST, "SQL": inSQL,
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("quarantine over %s (-truth +platform):\n%s", by, diff)
		}
	}
}

// seriesOf names a series in these tests.
func seriesOf(entity, metric, unit string) string {
	return strings.Join([]string{entity, metric, unit}, " ")
}
