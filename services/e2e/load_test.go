package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/energy-platform/energy/pkg/broker"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// loadVariable gives the size of the load: `make load` sets it.
const loadVariable = "ENERGY_TEST_LOAD"

// loadSize is how much is asked and published.
type loadSize struct {
	clients, seconds, rate, entities int           // rate in readings a second
	pause                            time.Duration // of a client between answer and question
}

func sizeOfLoad(t *testing.T) loadSize {
	t.Helper()
	s, pause := loadSize{}, ""
	_, err := fmt.Sscanf(cmp.Or(os.Getenv(loadVariable), "clients=8 seconds=4 rate=1500 entities=24 pause=0s"),
		"clients=%d seconds=%d rate=%d entities=%d pause=%s", &s.clients, &s.seconds, &s.rate, &s.entities, &pause)
	if err == nil {
		s.pause, err = time.ParseDuration(pause)
	}
	if err != nil {
		t.Fatalf("%s must be such as clients=64 seconds=60 rate=20000 entities=200 pause=0s: %v", loadVariable, err)
	}
	return s
}

// atRest marks questions that are asked when all is over.
const atRest = ", at rest"

// load is a run of the test.
type load struct {
	loadSize
	t         *testing.T
	p         *platform
	plan      *loadPlan
	names     *loadNames
	js        jetstream.JetStream
	publisher *broker.Publisher
	settled   settledTimes
	repeats   *repeats

	mu      sync.Mutex
	answers []loadAnswer
	fresh   []time.Duration // from publishing canaries until they are answered

	published int     // readings
	canaries  int     // messages
	reached   int64   // readings in gold when asking ended
	took      float64 // seconds until then
}

// TestAnswersUnderLoad asks everything that can be asked while readings are
// published: late, repeated, corrected and withdrawn ones among them. No answer may
// fail, and each must be true:
//
//   - In a partition gold has the readings up to one of them, in the order in which
//     the broker took them. So an answer of now is true if there is such a last
//     reading for each partition with which a naive recomputation says the same as
//     the answer, in all its windows and series together. An answer that mixes two
//     snapshots, loses a reading or counts one twice has none.
//   - What an answer knew every answer that is asked for afterwards knows too, and
//     none knows what was not yet received. Revisions do not go back.
//   - An answer about the past is what follows from the readings received until
//     then, and the same to the bit whenever it is asked for.
//   - What a watch delivers is of a snapshot as well, and what it delivered last is
//     what is answered when all is over.
//
// That the checks find faults is shown with answers that are made wrong.
func TestAnswersUnderLoad(t *testing.T) {
	t.Parallel()
	l := newLoad(t, sizeOfLoad(t))
	watches := l.watch()
	l.seed()
	began := time.Now()
	l.run()
	status := l.p.await(t, "gold to have all", caughtUp)
	t.Logf("%d clients; %d readings published, %.0f/s; %.0f/s into gold meanwhile; all were in gold after %.1f s",
		l.clients, l.published, float64(l.published)/l.took, float64(l.reached)/l.took, time.Since(began).Seconds())
	if got := float64(l.reached) / l.took; got < 0.95*float64(l.rate) {
		t.Logf("THE RATE OF %d/s WAS NOT REACHED: %.0f%% went into gold in time", l.rate, 100*got/float64(l.rate))
	}
	all := uint64(l.published + l.canaries*loadPartitions)
	if status.GetMissing() != 0 || len(status.GetQuarantine()) != 0 ||
		readingsIn(status, "gold")-status.GetRedelivered() != all {
		t.Errorf("%d readings were published, the pipeline is %v", all, status)
	}
	l.endWatches(watches)
	l.again()
	l.report()
	l.verify()
}

func newLoad(t *testing.T, size loadSize) *load {
	t.Helper()
	p := embeddedWith(t, map[string]string{"ENERGY_LOG_LEVEL": "WARN"})
	p.patience = 10 * time.Minute
	p.status(t) // it stands
	l := &load{
		loadSize: size, t: t, p: p, plan: newLoadPlan(size.entities, size.rate*size.seconds), js: p.jetStream(t),
		repeats: newRepeats(),
	}
	l.names = newLoadNames(l.plan)
	for what, n := range l.plan.happened {
		if n == 0 {
			t.Errorf("no reading is %s", what)
		}
	}
	var err error
	if l.publisher, err = broker.NewPublisher(l.js, broker.PublisherConfig{AckTimeout: patience}); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = energyv1.NewRegistryServiceClient(conn).PutEntities(t.Context(),
		&energyv1.PutEntitiesRequest{Entities: l.plan.entities()})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// seed publishes the first message and waits until it is answered.
func (l *load) seed() {
	l.t.Helper()
	l.publish(l.t.Context(), 0)
	l.announce(l.t.Context(), l.client(0))
}

func (l *load) client(number int) *loadClient {
	return &loadClient{
		platform: l.p, plan: l.plan, names: l.names, settled: &l.settled, repeats: l.repeats,
		dice: rand.New(rand.NewPCG(uint64(number), 17)),
	}
}

// run publishes and asks at once.
func (l *load) run() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Duration(l.seconds)*time.Second)
	defer cancel()
	began := time.Now()
	var g errgroup.Group
	g.Go(func() error { l.produce(ctx); return nil })
	g.Go(func() error {
		<-ctx.Done()
		var err error
		l.reached, err = l.inGold()
		l.took = time.Since(began).Seconds()
		return err
	})
	g.Go(func() error {
		ticker := time.NewTicker(canaryEvery)
		defer ticker.Stop()
		for c := l.client(0); ; {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				l.announce(l.t.Context(), c)
			}
		}
	})
	for i := range l.clients {
		g.Go(func() error {
			// However slow the machine is, each kind is asked by some.
			c := l.client(1 + i)
			for n := 0; ctx.Err() == nil || n*l.clients < 3*len(loadKinds); n++ {
				kind := &loadKinds[(n*l.clients+i)%len(loadKinds)]
				l.ask(c, kind.name, kind.ask)
				select {
				case <-ctx.Done():
				case <-time.After(l.pause):
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		l.t.Fatal(err)
	}
}

// inGold counts the readings in gold past the query service, which is busy.
func (l *load) inGold() (readings int64, _ error) {
	conn, err := pgx.Connect(l.t.Context(), l.p.databaseURL)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(l.t.Context()))
	err = conn.QueryRow(l.t.Context(), "SELECT sum(readings_in)::bigint FROM gold.positions WHERE stage = 'gold'").Scan(&readings)
	return readings, err
}

// again asks questions again, and for all windows, now that all is in gold.
func (l *load) again() {
	c := l.client(0)
	for range 3 {
		for i := range loadKinds {
			l.ask(c, loadKinds[i].name+atRest, loadKinds[i].ask)
		}
	}
	for _, questions := range l.repeats.again {
		for _, q := range questions {
			l.ask(c, "again"+atRest, func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) { return c.answer(ctx, q) })
		}
	}
	all := c.fixed(15*time.Minute, 0, 1)
	all.request.Selector, all.subjects = nil, l.plan.pick(func(*loadSeries) bool { return true })
	l.ask(c, "all"+atRest, func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) { return c.answer(ctx, all) })
}

// ask asks a question and keeps the answer.
func (l *load) ask(
	c *loadClient, kind string, question func(context.Context, *loadClient) ([]loadFact, int64, error),
) {
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	a := loadAnswer{kind: kind, asked: time.Now().UnixNano()}
	var err error
	a.facts, a.knownAt, err = question(ctx, c)
	a.answered = time.Now().UnixNano()
	if err != nil {
		l.t.Errorf("%s: %v", kind, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
}

// produce publishes the plan at its rate, by one connection, for as long as ctx
// lasts.
func (l *load) produce(ctx context.Context) {
	began := time.Now()
	var g errgroup.Group
	for i := 1; i < len(l.plan.messages) && ctx.Err() == nil; i++ {
		due := began.Add(time.Duration(i*loadPerMessage) * time.Second / time.Duration(l.rate))
		select {
		case <-ctx.Done():
			continue
		case <-time.After(time.Until(due)):
		}
		m := l.plan.message(l.t, loadHeader, i, l.plan.messages[i])
		sent, err := l.publisher.Send(ctx, m)
		if err != nil {
			if ctx.Err() == nil {
				l.t.Errorf("publish: %v", err)
			}
			break
		}
		l.published += len(l.plan.messages[i])
		l.plan.reached.Store(l.plan.messages[i][0].step)
		g.Go(func() error {
			_, err := sent.Wait(l.t.Context())
			return err
		})
	}
	if err := g.Wait(); err != nil {
		l.t.Errorf("publish: %v", err)
	}
}

// publish publishes a message of the plan and waits until it is stored.
func (l *load) publish(ctx context.Context, i int) {
	l.store(ctx, l.plan.message(l.t, loadHeader, i, l.plan.messages[i]))
	l.published += len(l.plan.messages[i])
}

func (l *load) store(ctx context.Context, m *nats.Msg) {
	if _, err := l.publisher.PublishAll(ctx, []*nats.Msg{m}); err != nil {
		l.t.Errorf("publish: %v", err)
	}
}

// announce publishes canaries and asks for them until they are answered: what was
// received before them is in gold then.
func (l *load) announce(ctx context.Context, c *loadClient) {
	number := l.canaries
	l.canaries++
	began := time.Now()
	l.store(ctx, l.plan.message(l.t, canaryHeader, number, l.plan.canary(number)))
	selector := &energyv1.Selector{Metrics: []string{canaryMetric}}
	for there := 0; there < loadPartitions && ctx.Err() == nil && !l.t.Failed(); {
		there = 0
		l.ask(c, "latest of canaries", func(ctx context.Context, c *loadClient) ([]loadFact, int64, error) {
			facts, err := c.latest(ctx, selector, l.plan.canaries, "")
			for _, f := range facts {
				if !f.absent && f.state.last == float64(number) {
					there++
				}
			}
			return facts, 0, err
		})
		if there < loadPartitions {
			timer := time.NewTimer(20 * time.Millisecond)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
	}
	l.fresh = append(l.fresh, time.Since(began))
	l.settled.add(began.UnixNano())
}

// stored returns what the broker has of what was sent.
func (l *load) stored() (all []loadVersion, log loadLog) {
	l.t.Helper()
	consumer, err := l.js.OrderedConsumer(l.t.Context(), broker.StreamReadings, jetstream.OrderedConsumerConfig{
		HeadersOnly: true,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for left := uint64(1); left > 0; {
		m, err := consumer.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			l.t.Fatal(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			l.t.Fatal(err)
		}
		left = meta.NumPending
		header := cmp.Or(m.Headers().Get(loadHeader), m.Headers().Get(canaryHeader))
		number, err := strconv.Atoi(header)
		if err != nil {
			l.t.Fatal(err)
		}
		readings := l.plan.canary(number)
		if m.Headers().Get(loadHeader) != "" {
			readings = l.plan.messages[number]
		}
		received := meta.Timestamp.UnixNano()
		log.sequences = append(log.sequences, meta.Sequence.Stream)
		log.received = append(log.received, received)
		for i := range readings {
			r := &readings[i]
			all = append(all, loadVersion{
				key: keyOf(meta.Sequence.Stream, i), received: received, series: r.series, at: r.at(),
				value: r.value, quality: r.quality, revision: r.revision,
			})
		}
	}
	return all, log
}

// report prints how long answers took.
func (l *load) report() {
	took, n := make(map[string][]time.Duration), 0
	for i := range l.answers {
		a := &l.answers[i]
		if strings.HasPrefix(a.kind, "watch") || strings.HasSuffix(a.kind, atRest) {
			continue
		}
		n++
		took[a.kind] = append(took[a.kind], time.Duration(a.answered-a.asked))
	}
	took["published until answered"] = l.fresh
	var table strings.Builder
	for _, kind := range sortedNames(took) {
		all := took[kind]
		slices.Sort(all)
		fmt.Fprintf(&table, "\n%-28s %6d  p50 %8.1f ms  p99 %8.1f ms", kind, len(all),
			1e3*all[len(all)/2].Seconds(), 1e3*all[len(all)*99/100].Seconds())
	}
	l.t.Logf("%d answers while readings were published, %.0f/s%s", n, float64(n)/l.took, table.String())
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// verify holds all answers against the truth.
func (l *load) verify() {
	l.t.Helper()
	began := time.Now()
	stored, log := l.stored()
	if len(stored) != l.published+l.canaries*loadPartitions {
		l.t.Errorf("%d readings are stored, %d were published", len(stored), l.published+l.canaries*loadPartitions)
	}
	truth := newRecomputed(l.plan, l.names.subjects, stored)
	v := truth.check(l.answers, &log)
	for i, err := range v.faults {
		if i < 10 {
			l.t.Error(err)
		}
	}
	if n := len(v.faults); n > 10 {
		l.t.Errorf("and %d faults more", n-10)
	}
	facts := 0
	for i := range loadKinds {
		if name := loadKinds[i].name; v.facts[name]+v.facts[name+atRest] == 0 {
			l.t.Errorf("no answer of %s says anything", name)
		}
	}
	for _, n := range v.facts {
		facts += n
	}
	if v.within == 0 || v.changed == 0 || l.repeats.equal == 0 {
		l.t.Errorf("nothing is shown: %d snapshots on the way, %d revisions grown, %d repeats",
			v.within, v.changed, l.repeats.equal)
	}
	if len(v.faults) > 0 {
		return
	}
	tried, missed := truth.catches(l.answers, &log)
	for i := range min(10, len(missed)) {
		l.t.Errorf("a fault was not found: %s", missed[i])
	}
	faults := 0
	for _, n := range tried {
		faults += n
	}
	if tried["two snapshots in one answer"] == 0 {
		l.t.Error("no two snapshots could be mixed")
	}
	l.t.Logf("%d facts with readings are true, %d snapshots lay between the first and the last reading, %d revisions grew, "+
		"%d answers about the past were repeated to the bit; %d faults were made and found, %d by mixing two snapshots; in %s",
		facts, v.within, v.changed, l.repeats.equal, faults-len(missed), tried["two snapshots in one answer"],
		time.Since(began).Round(time.Millisecond))
}
