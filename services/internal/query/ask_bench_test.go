package query

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// rowsVariable is how many base rows the store of BenchmarkAsk has, about.
const (
	rowsVariable = "ENERGY_BENCH_ROWS"
	defaultRows  = 300_000
)

// What the store of BenchmarkAsk has, each series with a reading every quarter of
// an hour: two meters of a year, and the rest for 1,000 meters and the latest
// day of 10,000.
const (
	benchMeters = 1_000
	benchSeries = 10_000
	benchYear   = 365
	yearRows    = 2 * benchYear * 96
	latestRows  = (benchSeries - 2*benchMeters) * 96
)

var benchOrigin = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// BenchmarkAsk asks a store of many base rows what its users ask. It prints the
// median as p50-ms.
func BenchmarkAsk(b *testing.B) {
	rows := defaultRows
	if given := os.Getenv(rowsVariable); given != "" {
		var err error
		if rows, err = strconv.Atoi(given); err != nil {
			b.Fatal(err)
		}
	}
	s := benchStore(b, rows)
	at := func(day int) *timestamppb.Timestamp { return timestamppb.New(benchOrigin.AddDate(0, 0, day)) }
	days := &energyv1.Window{
		Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}, Zone: "Europe/Paris",
	}
	ask := func(metric string, entities []string, from, to int, by energyv1.GroupBy) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			r := &received{context: func() context.Context { return ctx }}
			err := s.QueryAggregates(&energyv1.QueryAggregatesRequest{
				Selector: &energyv1.Selector{EntityIds: entities, Metrics: []string{metric}},
				Window:   days, Start: at(from), End: at(to), GroupBy: by,
			}, r)
			return len(r.aggregates), err
		}
	}
	meters := make([]string, benchMeters)
	for i := range meters {
		meters[i] = meterName(i)
	}
	const interval, register = "active_energy", "active_energy_import"
	for _, tt := range []struct {
		name string
		ask  func(context.Context) (int, error)
		want int
	}{
		{"a year of days, intervals", ask(interval, []string{"year"}, 0, benchYear, 0), benchYear + 1},
		{"a year of days, register", ask(register, []string{"year"}, 0, benchYear, 0), benchYear + 1},
		{"a month of days for 1000 meters, intervals", ask(interval, meters, 1, 31, 0), 31 * benchMeters},
		{"a month of days for 1000 meters, registers", ask(register, meters, 1, 31, 0), 31 * benchMeters},
		{"a month of days, 1000 meters in one sum", ask(interval, meters, 1, 31, energyv1.GroupBy_GROUP_BY_ALL), 31},
		{"latest of 10000 series", func(ctx context.Context) (int, error) {
			out := &latestReceived{received: received{context: func() context.Context { return ctx }}}
			err := s.GetLatest(&energyv1.GetLatestRequest{}, out)
			return min(out.count, benchSeries), err
		}, benchSeries},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				n, err := tt.ask(b.Context())
				took = append(took, time.Since(began))
				if err != nil || n != tt.want {
					b.Fatalf("%d answers, want %d: %v", n, tt.want, err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
		})
	}
}

func meterName(i int) string { return fmt.Sprintf("meter-%06d", i) }

// latestReceived counts the answers of GetLatest.
type latestReceived struct {
	received
	count int
}

func (r *latestReceived) Send(*energyv1.GetLatestResponse) error {
	r.count++
	return nil
}

// benchStore returns a server of a store with so many rows: the rows of a meter
// that went through the writer and the roller, copied to the others week by week,
// as time would lay them down.
func benchStore(b *testing.B, rows int) *Server {
	b.Helper()
	c, err := catalog.Default()
	if err != nil {
		b.Fatal(err)
	}
	url := database(b)
	store, err := goldstore.Open(b.Context(), url, goldstore.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	began := time.Now()
	fillYear(b, store, c)
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.Context()))
	rest := max(0, rows-yearRows-latestRows)
	registers := min(60, max(32, rest/5/benchMeters/96))
	intervals := min(benchYear, max(32, rest/benchMeters/96-registers+1))
	copies := []struct {
		metric, prefix string
		from, to       int // series
		first, last    int // days
	}{
		{"active_energy", "meter-", 0, benchMeters, 0, intervals},
		{"active_energy_import", "meter-", 0, benchMeters, 0, registers},
		{"active_energy", "latest-", 0, benchSeries - 2*benchMeters, benchYear - 1, benchYear},
	}
	_, err = conn.Exec(b.Context(), "CREATE TEMP TABLE copies (id bigint, template bigint, first timestamptz, last timestamptz)")
	if err != nil {
		b.Fatal(err)
	}
	var batch pgx.Batch
	for _, to := range copies {
		template := goldstore.SeriesID(reading.Series{EntityID: "year", Metric: to.metric, Unit: "kWh"})
		for i := to.from; i < to.to; i++ {
			one := reading.Series{EntityID: fmt.Sprintf("%s%06d", to.prefix, i), Metric: to.metric, Unit: "kWh"}
			id := goldstore.SeriesID(one)
			batch.Queue(`INSERT INTO gold.series (id, entity, metric, unit, first_week, last_week) VALUES ($1, $2, $3, $4,
				date_bin('7 days', $5, '1970-01-05'), date_bin('7 days', $6, '1970-01-05'))`, id, one.EntityID, one.Metric, one.Unit,
				benchOrigin.AddDate(0, 0, to.first), benchOrigin.AddDate(0, 0, to.last).Add(-time.Second))
			batch.Queue("INSERT INTO copies VALUES ($1, $2, $3, $4)", id, template,
				benchOrigin.AddDate(0, 0, to.first), benchOrigin.AddDate(0, 0, to.last))
		}
	}
	if err := conn.SendBatch(b.Context(), &batch).Close(); err != nil {
		b.Fatal(err)
	}
	for _, table := range []string{"base", "days"} {
		columns := columnsOf(b, conn, table)
		for week := benchOrigin; week.Before(benchOrigin.AddDate(0, 0, benchYear)); week = week.AddDate(0, 0, 7) {
			sql := fmt.Sprintf(`INSERT INTO gold.%[1]s (series_id, %[2]s) SELECT c.id, %[3]s FROM gold.%[1]s r
				JOIN copies c ON c.template = r.series_id AND r.start >= c.first AND r.start < c.last
				WHERE r.start >= $1 AND r.start < $2 ORDER BY r.start, c.id`,
				table, strings.Join(columns, ", "), "r."+strings.Join(columns, ", r."))
			if _, err := conn.Exec(b.Context(), sql, week, week.AddDate(0, 0, 7)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, sql := range []string{"VACUUM ANALYZE", "CHECKPOINT"} { // so that neither runs beside the questions
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	var count int
	var size string
	err = conn.QueryRow(b.Context(),
		"SELECT (SELECT count(*) FROM gold.base), pg_size_pretty(pg_database_size(current_database()))").Scan(&count, &size)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d base rows, %s, made in %s", count, size, time.Since(began).Round(time.Second))
	return NewServer(b.Context(), store, epochsOf(b, c), Pipeline{}, 5*time.Minute)
}

// fillYear writes a year of the entity "year", as intervals and as a register,
// and its parents.
func fillYear(b *testing.B, store *goldstore.Store, c *catalog.Catalog) {
	b.Helper()
	w := store.NewWriter(0, c, goldstore.WriterConfig{})
	index := 0.0
	for day := range benchYear {
		collector := gold.NewCollector(c)
		for quarters := range 96 {
			at := benchOrigin.AddDate(0, 0, day).Add(time.Duration(quarters) * 15 * time.Minute)
			v := gold.Version{
				Time: at.UnixNano(), Value: float64((day*96+quarters)%37) / 10, Length: 15 * time.Minute, Epoch: 1,
				Quality: reading.Actual, Stamp: reading.Stamp{Received: at.UnixNano(), Sequence: uint64(day*96 + quarters + 1)},
			}
			collector.Add(reading.Series{EntityID: "year", Metric: "active_energy", Unit: "kWh"}, v)
			v.Value, v.Length = index, 0
			collector.Add(reading.Series{EntityID: "year", Metric: "active_energy_import", Unit: "kWh"}, v)
			index += float64((day*96+quarters)%37) / 10
		}
		if _, err := w.Flush(b.Context(), goldstore.Flush{Groups: collector.Take()}); err != nil {
			b.Fatal(err)
		}
	}
	roller := store.NewRoller(0, c, goldstore.RollerConfig{})
	for {
		done, err := roller.Roll(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if done == (goldstore.Rolled{}) {
			return
		}
	}
}

// columnsOf returns the columns of a table of gold but for the series.
func columnsOf(b *testing.B, conn *pgx.Conn, table string) []string {
	b.Helper()
	rows, err := conn.Query(b.Context(), `SELECT quote_ident(column_name) FROM information_schema.columns
		WHERE table_schema = 'gold' AND table_name = $1 AND column_name <> 'series_id' AND is_generated = 'NEVER'`, table)
	if err != nil {
		b.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	return columns
}
