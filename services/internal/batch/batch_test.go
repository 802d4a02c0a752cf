package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/batch"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

const partitions = 2

// platform is a broker and a database without services.
type platform struct {
	js    jetstream.JetStream
	store *goldstore.Store
	url   string
}

func provisioned(t *testing.T) *platform {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{js: js}
	p.provision(t)
	kept, err := broker.OpenEpochs(t.Context(), js)
	if err == nil {
		err = epochs.Ensure(t.Context(), kept, []byte(builtIn(t).Document()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.another(t)
}

// another returns the platform with another database.
func (p *platform) another(t *testing.T) *platform {
	t.Helper()
	url := pgtest.Database(t, "gold", func(ctx context.Context, url string) error {
		_, err := goldstore.Migrate(ctx, url)
		return err
	})
	store, err := goldstore.Open(t.Context(), url, goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return &platform{js: p.js, store: store, url: url}
}

// builtIn is the catalogue, as epoch 1.
func builtIn(t *testing.T) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	all, err := catalog.Epochs{}.Append(time.Time{}, []byte(c.Document()))
	if err != nil {
		t.Fatal(err)
	}
	return all.Newest()
}

func (p *platform) provision(t *testing.T) {
	t.Helper()
	topology := broker.DefaultTopology()
	topology.Partitions = partitions
	if err := broker.Provision(t.Context(), p.js, topology); err != nil {
		t.Fatal(err)
	}
}

// at is the time that the n-th reading of a test is about: all are of one window.
func at(n int) time.Time { return time.Date(2026, 3, 1, 12, 0, n, 0, time.UTC) }

var series = reading.Series{EntityID: "meter", Metric: "voltage", Unit: "V"}

// publish publishes a reading of each value, each in a message of its own, and
// returns the stamps.
func (p *platform) publish(t *testing.T, values ...float64) (stamps []reading.Stamp) {
	t.Helper()
	for _, value := range values {
		payload := fmt.Sprintf(`{"entity":%q,"metric":%q,"unit":"V","time":%q,"value":%g}`,
			series.EntityID, series.Metric, at(int(value)).Format(time.RFC3339), value)
		ack, err := p.js.Publish(t.Context(), "readings.test", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		m, err := broker.Get(t.Context(), p.js, broker.StreamReadings, ack.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		stamps = append(stamps, reading.Stamp{Received: m.Received.UnixNano(), Sequence: ack.Sequence})
	}
	return stamps
}

// ingest puts messages of READINGS into BRONZE, as the service does.
func (p *platform) ingest(t *testing.T, after, until uint64) {
	t.Helper()
	in := replay.Reading{
		JetStream: p.js, Budget: broker.NewBudget(0), Logger: slog.New(slog.DiscardHandler),
		Limits: broker.BatchLimits{Bytes: 1 << 20},
	}
	of := replay.Range{
		Stream: broker.StreamReadings, Subject: broker.IngressSubject(0), After: after, Until: until,
	}
	err := in.Each(t.Context(), of, func(messages []broker.Message) error {
		out, err := ingest.NewDecoder(0, partitions).Decode(messages)
		for _, m := range out.Messages {
			if _, failed := p.js.PublishMsg(t.Context(), m); failed != nil {
				return failed
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// merge puts versions of the series into gold.
func (p *platform) merge(t *testing.T, versions ...gold.Version) {
	t.Helper()
	c := builtIn(t)
	groups := gold.NewCollector(c)
	for _, v := range versions {
		groups.Add(series, v)
	}
	w := p.store.NewWriter(reading.Partition(series.EntityID, partitions), c, goldstore.WriterConfig{})
	if _, err := w.Flush(t.Context(), goldstore.Flush{Groups: groups.Take()}); err != nil {
		t.Fatal(err)
	}
}

// wrong is the version of a wrong rule of a message: the value says which.
func wrong(value float64, s reading.Stamp) gold.Version {
	return gold.Version{Time: at(int(value)).UnixNano(), Value: value, Epoch: 1, Stamp: s}
}

// values returns the values of the versions in gold.
func (p *platform) values(t *testing.T) (values []float64) {
	t.Helper()
	err := p.store.Read(t.Context(), func(tx *goldstore.ReadTx) error {
		end := goldstore.RowKey{SeriesID: 1<<63 - 1}
		return tx.Content(t.Context(), goldstore.RowKey{}, end, func(r *goldstore.ContentRow) error {
			versions, err := r.Versions()
			for i := range versions {
				values = append(values, versions[i].Value)
			}
			if len(versions) == 0 {
				t.Error("a row without versions is in gold")
			}
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(values)
	return values
}

func (p *platform) has(t *testing.T, want ...float64) {
	t.Helper()
	if diff := cmp.Diff(want, p.values(t)); diff != "" {
		t.Errorf("values in gold (-want +got):\n%s", diff)
	}
}

// config is a run of a layer.
func (p *platform) config(t *testing.T, layer replay.Layer, s job.Selection) batch.Config {
	t.Helper()
	return batch.Config{
		JetStream: p.js, Store: p.store, Logger: slog.New(slog.DiscardHandler), Dir: t.TempDir(), CodeVersion: "test",
		Job: job.Job{Layer: layer.String(), Selection: s}, Patience: time.Nanosecond,
	}
}

func (p *platform) run(t *testing.T, layer replay.Layer, s job.Selection) (goldstore.BatchRecord, error) {
	t.Helper()
	return batch.Run(t.Context(), p.config(t, layer, s))
}

func (p *platform) rebuild(t *testing.T, layer replay.Layer, s job.Selection) (goldstore.BatchRecord, error) {
	t.Helper()
	c := p.config(t, layer, s)
	c.Job.Rebuild = true
	return batch.Run(t.Context(), c)
}

// ran fails the test unless a run succeeded.
func ran(t *testing.T) func(goldstore.BatchRecord, error) goldstore.BatchRecord {
	t.Helper()
	return func(b goldstore.BatchRecord, err error) goldstore.BatchRecord {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func refused(t *testing.T, b goldstore.BatchRecord, err error) {
	t.Helper()
	if !errors.Is(err, replay.ErrNotHeld) || batch.CanResume(err) || b.Changes != (goldstore.BatchTally{}) {
		t.Errorf("it ends with %v, %+v", err, b.Changes)
	}
}

func (p *platform) stream(t *testing.T, name string) jetstream.Stream {
	t.Helper()
	s, err := p.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *platform) purge(t *testing.T, name string, before uint64) {
	t.Helper()
	if err := p.stream(t, name).Purge(t.Context(), jetstream.WithPurgeSequence(before)); err != nil {
		t.Fatal(err)
	}
}

// TestRebuildReplacesWhatItRead: what a wrong rule left of a message goes if that very
// message was read. Versions stay of a message that READINGS has lost, and gave the
// sequence of again, and of one between others that BRONZE has not (invariant 22).
func TestRebuildReplacesWhatItRead(t *testing.T) {
	t.Parallel()
	for _, layer := range []replay.Layer{replay.Readings, replay.Bronze} {
		t.Run(layer.String(), func(t *testing.T) {
			t.Parallel()
			p := provisioned(t)
			stamps := p.publish(t, 1, 2, 3)
			p.ingest(t, 0, 1)
			p.ingest(t, 2, 3)
			lost := stamps[1]
			if layer == replay.Readings {
				lost.Received++
			}
			p.merge(t, wrong(11, stamps[0]), wrong(12, lost), wrong(13, stamps[2]))
			b := ran(t)(p.rebuild(t, layer, job.Selection{}))
			if layer == replay.Readings {
				p.has(t, 1, 2, 3, 12)
				return
			}
			p.has(t, 1, 3, 12)
			if b.Changes.Added != 2 || b.Changes.Removed != 2 {
				t.Errorf("it says %+v", b.Changes)
			}
		})
	}
}

// TestRebuildOfAnotherStream: a stream that was made anew speaks for what it got since
// (invariant 22).
func TestRebuildOfAnotherStream(t *testing.T) {
	t.Parallel()
	for _, layer := range []replay.Layer{replay.Readings, replay.Bronze} {
		t.Run(layer.String(), func(t *testing.T) {
			t.Parallel()
			p := provisioned(t)
			old := p.publish(t, 1, 2)
			p.ingest(t, 0, 2)
			ran(t)(p.run(t, layer, job.Selection{}))
			name := map[replay.Layer]string{replay.Readings: broker.StreamReadings, replay.Bronze: broker.StreamBronze}[layer]
			if err := p.js.DeleteStream(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			p.provision(t)
			stamps := p.publish(t, 3, 4)
			p.ingest(t, stamps[0].Sequence-1, stamps[1].Sequence)
			p.merge(t, wrong(11, old[0]), wrong(13, stamps[0]))

			b, err := p.rebuild(t, layer, job.Selection{})
			refused(t, b, err)
			p.has(t, 1, 2, 11, 13)
			made, err := broker.Stream(t.Context(), p.js, name)
			if err != nil {
				t.Fatal(err)
			}
			ran(t)(p.rebuild(t, layer, job.Selection{ReceivedFrom: made.Created.UnixNano()}))
			p.has(t, 1, 2, 3, 4, 11)
		})
	}
}

// TestRangesThatAreNotHeld: a run fails clearly when what it is to read was removed, a
// rebuild also where it names no beginning.
func TestRangesThatAreNotHeld(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	stamps := p.publish(t, 1, 2, 3, 4)
	ran(t)(p.run(t, replay.Readings, job.Selection{LastSequence: 2}))
	p.purge(t, broker.StreamReadings, 3)
	p.merge(t, wrong(11, stamps[0]), wrong(13, stamps[2]))
	before := stamps[2].Received - 1
	for name, tt := range map[string]struct {
		job.Selection
		merges, rebuilds bool
	}{
		"all that there is":      {job.Selection{}, true, false},
		"from a sequence on":     {job.Selection{FirstSequence: 3}, true, true},
		"from a gone one on":     {job.Selection{FirstSequence: 2}, false, false},
		"up to a gone one":       {job.Selection{LastSequence: 2}, false, false},
		"from a time on":         {job.Selection{ReceivedFrom: stamps[2].Received}, true, true},
		"from an earlier one on": {job.Selection{ReceivedFrom: before}, false, false},
		"up to an earlier one":   {job.Selection{ReceivedTo: before}, false, false},
		"a sequence, and early":  {job.Selection{FirstSequence: 3, ReceivedFrom: before}, true, true},
	} {
		c := p.config(t, replay.Readings, tt.Selection)
		c.Plan = true
		for c.Job.Rebuild = range map[bool]struct{}{false: {}, true: {}} {
			want := tt.merges
			if c.Job.Rebuild {
				want = tt.rebuilds
			}
			b, err := batch.Run(t.Context(), c)
			if !want {
				refused(t, b, err)
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	ran(t)(p.rebuild(t, replay.Readings, job.Selection{FirstSequence: 3}))
	p.has(t, 1, 2, 3, 4, 11)
}

// TestSequencesSelectReleases: a range of sequences of READINGS selects what came with
// these messages, by whatever stream it is known.
func TestSequencesSelectReleases(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	stamps := p.publish(t, 1, 2, 3)
	for n, s := range stamps {
		p.release(t, float64(n+1), s)
	}
	ran(t)(p.run(t, replay.Readings, job.Selection{FirstSequence: 2, LastSequence: 2}))
	p.has(t, 2, 2000002)
	ran(t)(p.run(t, replay.Readings, job.Selection{FirstSequence: 2}))
	p.has(t, 2, 3, 2000002, 2000003)
}

// TestPoison: windows that cannot be stored are found among the others, and refused;
// the record counts each once (invariants 4 and 5).
func TestPoison(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	var all []map[string]any
	for _, entity := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		all = append(all, map[string]any{"entity": entity, "metric": "voltage", "unit": "V", "time": at(1), "value": 230})
	}
	p.publishAll(t, all)
	p.exec(t, `CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.entity IN ('b', 'f') THEN RAISE EXCEPTION 'never' USING ERRCODE = '22021'; END IF; RETURN NEW; END $$`)
	p.exec(t, `CREATE TRIGGER fail BEFORE INSERT ON gold.series FOR EACH ROW EXECUTE FUNCTION public.fail()`)
	for _, inserted := range []uint64{5, 0} {
		b := ran(t)(p.run(t, replay.Readings, job.Selection{}))
		if b.Changes.Inserted != inserted || b.Changes.Unchanged != 5-inserted || b.Changes.Limited != 2 {
			t.Errorf("it says %+v", b.Changes)
		}
	}
	if n := p.exec(t, "UPDATE gold.quarantine SET entity = entity WHERE stage = 'gold' AND rule = 'limit'"); n != 2 {
		t.Errorf("%d readings are refused", n)
	}
}

// TestAFullWindow: a window takes as many versions as one may have, those that were
// received first; the others are refused, and stay so.
func TestAFullWindow(t *testing.T) {
	t.Parallel()
	p := provisioned(t)
	const over = 5
	var all []map[string]any
	for n := range gold.MaxVersions + over {
		all = append(all, map[string]any{
			"entity": "m", "metric": "voltage", "unit": "V", "value": 1,
			"time": at(0).Add(time.Duration(gold.MaxVersions+over-n) * time.Millisecond).UnixMilli(),
		})
		if len(all) == 8192 {
			p.publishAll(t, all)
			all = all[:0]
		}
	}
	p.publishAll(t, all)
	for _, added := range []uint64{gold.MaxVersions, 0} {
		b := ran(t)(p.run(t, replay.Readings, job.Selection{}))
		if b.Changes.Added != added || b.Changes.Limited != over {
			t.Errorf("it says %+v", b.Changes)
		}
	}
	if n := len(p.values(t)); n != gold.MaxVersions {
		t.Errorf("%d versions are in gold", n)
	}
	// The last ones are of the least times.
	late := at(0).Add(over * time.Millisecond).UnixNano()
	n := p.exec(t, fmt.Sprint("UPDATE gold.quarantine SET entity = entity WHERE stage = 'gold' AND event_at_ns <= ", late))
	if n != over {
		t.Errorf("%d readings are refused", n)
	}
}

func (p *platform) publishAll(t *testing.T, all []map[string]any) {
	t.Helper()
	payload, err := json.Marshal(all)
	if err == nil {
		_, err = p.js.Publish(t.Context(), "readings.test", payload)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// exec runs a statement and returns how many rows it changed.
func (p *platform) exec(t *testing.T, sql string) int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	tag, err := conn.Exec(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return tag.RowsAffected()
}

// keys returns the keys of positions, of which a run keeps none.
func (p *platform) keys(t *testing.T) string {
	t.Helper()
	positions, err := broker.OpenPositions(t.Context(), p.js)
	if err != nil {
		t.Fatal(err)
	}
	all, err := positions.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), " ")
}
