package query

import (
	"bytes"
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// firstDay is three days before a month's and a quarter's end, at which clocks go
// forward in Paris.
var firstDay = time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC).UnixNano()

// library is a store of a week of readings, and a connection that spoils it.
type library struct {
	store   *goldstore.Store
	catalog *catalog.Catalog
	conn    *pgx.Conn
}

func openLibrary(t *testing.T) *library {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	l := newLibrary(t, c.Document())
	w := l.store.NewWriter(0, c, goldstore.WriterConfig{})
	for pass := range 2 { // the second changes some rows, so that revisions differ
		if _, err := w.Flush(t.Context(), goldstore.Flush{Groups: l.readings(pass)}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// newLibrary returns a store without readings, of that catalogue.
func newLibrary(t *testing.T, document string) *library {
	t.Helper()
	c, err := catalog.Parse(1, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	url := database(t)
	store, err := goldstore.Open(t.Context(), url, goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.RegisterEpoch(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return &library{store, c, conn}
}

var metrics = []string{"active_energy_import", "active_power", "active_power_mean", "active_energy", "voltage"}

// readings returns one about every 20 minutes, with holes of hours and a day.
func (l *library) readings(pass int) []gold.Group {
	collector := gold.NewCollector(l.catalog)
	for n, metric := range metrics {
		s := reading.Series{EntityID: "m", Metric: metric, Unit: l.catalog.Metric(reading.Series{Metric: metric}).Unit}
		for i := range 7 * 72 {
			at := firstDay + int64(i)*int64(20*time.Minute) + int64(i%7)*int64(time.Minute)
			if i/72 == 4 || i%31 > 22+n || pass == 1 && i%5 != 0 {
				continue
			}
			v := gold.Version{
				Time: at, Value: float64(i) + 1.0/float64(3+i%11), Epoch: 1, Quality: reading.Actual, Revision: uint64(pass),
				Stamp: reading.Stamp{Received: at + int64(pass)*int64(36*time.Hour), Sequence: uint64(1 + pass)},
			}
			if m := l.catalog.Metric(s); m.Interval() {
				// Some cross the edges of rows, hours and days, some overlap the next.
				v.Length = time.Minute * time.Duration([]int{5, 10, 15, 15, 20, 7, 45, 5, 200, 13, 0, 1000}[(i*i+i/12)%12])
			}
			if i%41 == 0 && pass == 1 {
				v.Quality = reading.Withdrawn
			}
			collector.Add(s, v)
		}
	}
	return collector.Take()
}

// ask answers for all series.
func (l *library) ask(t *rapid.T, asked question) []*energyv1.QueryAggregatesResponse {
	return l.respond(t, responder{question: asked, now: firstDay + int64(3*24*time.Hour)})
}

// respond answers for all series as a responder does: as known when it is told,
// else as known now.
func (l *library) respond(t *rapid.T, r responder) (out []*energyv1.QueryAggregatesResponse) {
	err := l.store.Read(t.Context(), func(tx *goldstore.ReadTx) error {
		series, registry, err := r.find(t.Context(), tx, goldstore.Page{}, r.registered())
		if err != nil {
			return err
		}
		r.from, r.catalog, r.registry = tx, l.catalog, registry
		if r.knownAt != nil {
			r.now = *r.knownAt
			r.from = newPast(tx, l.catalog.History(), l.catalog, series, r.now)
		}
		r.send = func(r *energyv1.QueryAggregatesResponse) error {
			out = append(out, r)
			return nil
		}
		return r.answer(t.Context(), series)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameBytes(a, b *energyv1.QueryAggregatesResponse) bool {
	encode := func(m proto.Message) []byte {
		out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			panic(err)
		}
		return out
	}
	return bytes.Equal(encode(a), encode(b))
}

func (l *library) exec(t *rapid.T, sql string, args ...any) {
	if _, err := l.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func drawAsked(t *rapid.T) question {
	r := question{timeRange: timeRange{start: math.MinInt64, end: math.MaxInt64}}
	var err error
	if rapid.Bool().Draw(t, "calendar") {
		zone, zoneErr := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Paris", "Asia/Kolkata"}).Draw(t, "zone"))
		if zoneErr != nil {
			t.Fatal(zoneErr)
		}
		unit := rapid.SampledFrom([]gold.Calendar{gold.Day, gold.GasDay, gold.Week, gold.Month, gold.Year}).Draw(t, "unit")
		r.windows, err = gold.CalendarWindows(unit, zone)
	} else {
		quarters := rapid.SampledFrom([]int{1, 3, 4, 6, 8, 96, 100, 192, 672}).Draw(t, "quarters")
		r.windows, err = gold.FixedWindows(time.Duration(quarters) * 15 * time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "with bounds") {
		minutes := rapid.Int64Range(-1000, 10_000)
		r.start = firstDay + minutes.Draw(t, "start")*int64(time.Minute)
		r.end = r.start + (1+max(0, minutes.Draw(t, "length")))*int64(time.Minute)
	}
	return r
}

// TestAnswersAreEqualWithAndWithoutParents asks the same of a store without parents and
// with parents, some of them missing, stale, of other parameters, or all of this
// (invariant 13).
func TestAnswersAreEqualWithAndWithoutParents(t *testing.T) {
	t.Parallel()
	l := openLibrary(t)
	roller := l.store.NewRoller(0, l.catalog, goldstore.RollerConfig{})
	if done, err := roller.Roll(t.Context()); err != nil || done.Written != 6*len(metrics) {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := l.conn.Exec(t.Context(), "CREATE TABLE all_days AS TABLE gold.days"); err != nil {
		t.Fatal(err)
	}
	const spoil = ` WHERE abs(hashtext(series_id::text || start::text || $1)) % 3 = 0`
	rapid.Check(t, func(t *rapid.T) {
		asked := drawAsked(t)
		salt := rapid.StringMatching("[a-z]{4}").Draw(t, "salt")
		l.exec(t, "TRUNCATE gold.days")
		want := l.ask(t, asked)
		if len(want) == 0 && asked.end == math.MaxInt64 {
			t.Fatal("no answer")
		}
		same := func(state string) {
			// However much is read at once, in slices of a day among it.
			got := l.respond(t, responder{
				question: asked, now: firstDay + int64(3*24*time.Hour), most: rapid.SampledFrom([]int{0, 1, 5, 40}).Draw(t, "most"),
			})
			if !slices.EqualFunc(want, got, sameBytes) {
				t.Fatalf("%s (-without +with):\n%s", state, cmp.Diff(want, got, protocmp.Transform()))
			}
		}
		l.exec(t, "INSERT INTO gold.days SELECT * FROM all_days")
		same("all present")
		l.exec(t, "DELETE FROM gold.days"+spoil, salt)
		same("some missing")
		l.exec(t, "TRUNCATE gold.days")
		l.exec(t, "INSERT INTO gold.days SELECT * FROM all_days")
		l.exec(t, `UPDATE gold.days d SET stale = true, day = o.day, hours = o.hours FROM gold.days o`+
			` WHERE o.series_id <> d.series_id AND o.start <> d.start AND abs(hashtext(d.series_id::text || d.start::text || $1)) % 3 = 0`,
			salt)
		same("some stale")
		l.exec(t, `UPDATE gold.days SET stale = false, fold_key = fold_key + 1 WHERE stale`)
		same("some of other parameters")
	})
}
