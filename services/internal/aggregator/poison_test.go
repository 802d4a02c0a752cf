package aggregator

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// flusher returns a worker of partition 0 with a position at 0, and a flush of five
// readings, one an entity, that moves it to 1.
func flusher(t *testing.T, d Deps) (*worker, goldstore.Flush) {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	if d.Publisher, err = broker.NewPublisher(d.JetStream, broker.PublisherConfig{}); err != nil {
		t.Fatal(err)
	}
	a := &worker{
		Deps: d, name: "gold.0", catalog: c, collector: gold.NewCollector(c),
		writer: d.Store.NewWriter(0, c, goldstore.WriterConfig{}), refused: refusal.NewCollector(Stage),
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	p, err := d.Store.LoadPosition(t.Context(), Stage, 0)
	if err == nil {
		_, err = d.Store.ResetPosition(t.Context(), p, broker.StreamSilver, at, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, entity := range []string{"a", "b", "c", "d", "e"} {
		series := reading.Series{EntityID: entity, Metric: "active_power", Unit: "kW"}
		stamp := reading.Stamp{Received: at.UnixNano(), Sequence: 1, Index: uint32(i)}
		a.collector.Add(series, gold.Version{Time: at.UnixNano(), Value: 1, Epoch: 1, Stamp: stamp})
	}
	return a, goldstore.Flush{
		Move: &goldstore.PositionMove{
			Stage: Stage, Stream: broker.StreamSilver, Created: at, To: 1, Counts: goldstore.Counts{In: 5, Out: 5},
		},
		Groups: a.collector.Take(),
	}
}

// failing makes inserts into a table fail with a SQLSTATE, for rows of which a
// condition holds, until the function that it returns is called.
func failing(t *testing.T, url, table, code, condition string) (mend func()) {
	t.Helper()
	exec := func(sql string) {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			_, err = conn.Exec(t.Context(), sql)
			_ = conn.Close(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	}
	exec(`CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF ` + condition + ` THEN RAISE EXCEPTION 'not today' USING ERRCODE = '` + code + `'; END IF; RETURN NEW; END $$;
CREATE TRIGGER fail BEFORE INSERT ON gold.` + table + ` FOR EACH ROW EXECUTE FUNCTION public.fail()`)
	return func() { exec(`DROP FUNCTION public.fail() CASCADE`) }
}

// What the database fails with for its own sake is waited out: no reading is
// refused for it, and the trouble is told (invariant 4).
func TestTroubleOfTheDatabaseRefusesNothing(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"42501", "58P01", "XX001", "P0001", "0A000", "54000"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			mend := failing(t, d.url, "base", code, "true")
			var told []error
			d.Report = func(_ string, trouble error) {
				if told = append(told, trouble); len(told) == 2 {
					mend()
				}
			}
			a, f := flusher(t, d.Deps)
			result, err := a.flush(t.Context(), f)
			if err != nil || result.Inserted != 5 {
				t.Errorf("%d rows are stored: %v", result.Inserted, err)
			}
			if len(told) < 3 || told[0] == nil || !strings.Contains(told[0].Error(), code) || told[len(told)-1] != nil {
				t.Errorf("it was told: %v", told)
			}
			d.counts(t, goldstore.Counts{In: 5, Out: 5}, 0)
		})
	}
}

// A row that cannot be stored goes to quarantine, its neighbours to gold.
func TestRowsThatCannotBeStoredAreRefused(t *testing.T) {
	t.Parallel()
	d := deps(t)
	d.Report = func(string, error) {}
	failing(t, d.url, "series", "22021", "NEW.entity IN ('b', 'e')")
	a, f := flusher(t, d.Deps)
	if _, err := a.flush(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	d.counts(t, goldstore.Counts{In: 5, Out: 3, Quarantined: 2}, 1)
}

// counts compares the position's counts and the number of quarantine messages.
func (d testDeps) counts(t *testing.T, want goldstore.Counts, messages uint64) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	p, err := d.Store.LoadPosition(ctx, Stage, 0)
	if err != nil {
		t.Fatal(err)
	}
	q, err := broker.Stream(ctx, d.JetStream, broker.StreamQuarantine)
	if err != nil {
		t.Fatal(err)
	}
	if p.Counts != want || p.Sequence != 1 || q.Messages != messages {
		t.Errorf("position %d with counts %+v, %d messages in quarantine", p.Sequence, p.Counts, q.Messages)
	}
}
