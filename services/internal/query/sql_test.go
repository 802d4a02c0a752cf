package query

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// everyKind has a metric of each kind, with what can be declared of it.
const everyKind = `
units: {kWh: {dimension: energy}, kW: {dimension: power, integral: kWh}, V: {dimension: voltage}}
metrics:
  register: {kind: register, unit: kWh, max_gap: 2h, max_rate: 400, dip_tolerance: 0.5}
  rolling: {kind: register, unit: kWh, rollover: 1000, window: 1h}
  resetting: {kind: register, unit: kWh, reset: zero, max_gap: 30h, max_rate: 3000}
  interval: {kind: interval, unit: kWh, cadence: 15m}
  linear: {kind: gauge, integrate: linear, unit: kW, max_gap: 3h}
  level: {kind: gauge, integrate: linear, unit: V}
  step: {kind: gauge, integrate: step, unit: kW, max_gap: 5h, window: 1h}
  mean: {kind: gauge, integrate: mean, unit: kW, window: 5m}
  plain: {kind: gauge, unit: V, max_gap: 1h, window: 30m}
`

// sqlRow is a window as SQL answers it or as the API's answer reads in SQL.
type sqlRow struct {
	Series                             string
	Kind                               string
	EnergyUnit, PowerUnit              *string
	Start, End                         time.Time
	Count                              int64
	Sum, Mean                          *float64
	Min                                *float64
	MinAt                              *time.Time
	Max                                *float64
	MaxAt                              *time.Time
	First                              *float64
	FirstAt                            *time.Time
	Last                               *float64
	LastAt                             *time.Time
	Consumption                        *float64
	Interpolated, Estimated, Corrected *float64
	Covered                            time.Duration
	EstimatedCount, CorrectedCount     int64
	Gaps, Resets, Exchanges            int64
	Peak                               *float64
	PeakAt                             *time.Time
	EdgeOpen                           bool
	Revision                           int64
	Changed                            *time.Time
}

const sqlColumns = `entity || ' ' || metric || ' [' || unit || ']', kind, energy_unit, power_unit,
	window_start, window_end,
	count, sum, mean, min, min_at, max, max_at, first, first_at, last, last_at, consumption, interpolated,
	estimated_consumption, corrected_consumption, covered, estimated_count, corrected_count,
	gaps, resets, exchanges,
	peak, peak_at, edge_open, revision, last_change`

// inSQL asks the views the same.
func (l *library) inSQL(t *rapid.T, asked question, from string, arguments ...any) ([]sqlRow, error) {
	bound := func(ns, otherwise int64) any {
		if ns == otherwise {
			return nil
		}
		return time.Unix(0, ns)
	}
	arguments = append([]any{bound(asked.start, math.MinInt64), bound(asked.end, math.MaxInt64)}, arguments...)
	rows, err := l.conn.Query(t.Context(), "SELECT "+sqlColumns+" FROM "+from, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sqlRow])
}

// asSQL returns an answer as SQL gives it: without the part of a microsecond.
func asSQL(r *energyv1.QueryAggregatesResponse) (out []sqlRow) {
	kinds := [...]string{"", "register", "interval", "gauge"}
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	at := func(ns int64) *time.Time {
		t := time.Unix(0, ns).Truncate(time.Microsecond)
		return &t
	}
	key := r.GetSeries()
	for _, a := range r.GetAggregates() {
		s := a.GetStatistics()
		row := sqlRow{
			Series: fmt.Sprintf("%s %s [%s]", key.GetEntityId(), key.GetMetric(), key.GetUnit()),
			Kind:   kinds[r.GetKind()], EnergyUnit: text(r.GetEnergyUnit()), PowerUnit: text(r.GetPowerUnit()),
			Start: a.GetStart().AsTime(), End: a.GetEnd().AsTime(),
			Count: int64(a.GetReceived()), Mean: a.Mean, Interpolated: a.InterpolatedEnergy,
			Covered:        time.Duration(s.GetCoveredNs()).Truncate(time.Microsecond),
			EstimatedCount: int64(s.GetEstimatedCount()), CorrectedCount: int64(s.GetCorrectedCount()),
			Gaps: int64(s.GetGaps()), Resets: int64(s.GetResets()), Exchanges: int64(s.GetExchanges()),

			Peak: a.Peak, EdgeOpen: a.GetEdgeOpen(), Revision: a.GetRevision(),
		}
		if a.GetReceived() > 0 {
			row.Sum, row.Min, row.Max, row.First, row.Last = &s.Sum, &s.Min, &s.Max, &s.First, &s.Last
			row.MinAt, row.MaxAt = at(s.GetMinAtNs()), at(s.GetMaxAtNs())
			row.FirstAt, row.LastAt = at(s.GetFirstAtNs()), at(s.GetLastAtNs())
		}
		if s != nil && r.GetEnergyUnit() != "" {
			row.Consumption, row.Estimated, row.Corrected = &s.Energy, &s.EstimatedEnergy, &s.CorrectedEnergy
			if row.Kind == "register" {
				row.Consumption = &s.Advance
			}
		}
		if a.Peak != nil {
			row.PeakAt = at(a.GetPeakAt().AsTime().UnixNano())
		}
		if a.GetLastChange() != nil {
			row.Changed = at(a.GetLastChange().AsTime().UnixNano())
		}
		out = append(out, row)
	}
	return out
}

// history is what a case of the property test stores.
type history struct {
	rows    []gold.Key
	scale   float64 // a bound of what an answer adds up, Σ|x|
	overlap bool    // readings that cover spans may overlap
}

// store draws readings of some metrics and stores them in two flushes.
func (l *library) record(t *rapid.T) (h history) {
	l.exec(t, "TRUNCATE gold.series, gold.base, gold.days, gold.changed_days, gold.generations")
	names := []string{"undeclared"}
	for _, m := range l.catalog.Metrics() {
		names = append(names, m.Name)
	}
	origin := rapid.SampledFrom([]string{"2026-03-27", "2026-10-23", "2011-12-28", "2018-11-02"}).Draw(t, "origin")
	day, err := time.Parse(time.DateOnly, origin)
	if err != nil {
		t.Fatal(err)
	}
	h.overlap = rapid.IntRange(0, 3).Draw(t, "overlap") == 0
	w := l.store.NewWriter(0, l.catalog, goldstore.WriterConfig{})
	spans := make(map[string][]gold.Version)
	for pass := range 2 {
		collector := gold.NewCollector(l.catalog)
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "metrics") {
			s := reading.Series{EntityID: "m", Metric: name, Unit: l.catalog.Metric(reading.Series{Metric: name}).Unit}
			versions := anyVersions(day.UnixNano(), uint64(pass)).Draw(t, name)
			if l.catalog.Metric(s).Interval() {
				versions = withLengths(t, versions, spans[name], h.overlap)
				spans[name] = versions
			}
			for _, v := range versions {
				collector.Add(s, v)
				h.scale += math.Abs(v.Value) * 1000
			}
		}
		groups := collector.Take()
		for _, g := range groups {
			h.rows = append(h.rows, g.Key)
		}
		if _, err := w.Flush(t.Context(), goldstore.Flush{Groups: groups}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// withLengths draws what readings cover. Unless they may overlap they end before
// the next one, and revise those that were stored before.
func withLengths(t *rapid.T, versions, earlier []gold.Version, overlap bool) []gold.Version {
	if !overlap {
		for i := range min(len(versions), len(earlier)) {
			versions[i].Time, versions[i].Length = earlier[i].Time, earlier[i].Length
		}
		if earlier != nil {
			return versions[:min(len(versions), len(earlier))]
		}
	}
	lengths := []time.Duration{0, 7 * time.Minute, 15 * time.Minute, time.Hour, 50 * time.Hour}
	for i := range versions {
		length := rapid.SampledFrom(lengths).Draw(t, "length")
		if !overlap && i+1 < len(versions) {
			length = min(length, time.Duration(versions[i+1].Time-versions[i].Time))
		}
		versions[i].Length = length
	}
	return versions
}

// anyVersions draws readings from a time on, some of them withdrawn.
func anyVersions(at int64, revision uint64) *rapid.Generator[[]gold.Version] {
	whole := rapid.Map(rapid.IntRange(0, 5), func(i int) float64 { return float64(i) })
	values := rapid.OneOf(rapid.Float64Range(-10, 1000), whole)
	steps := []time.Duration{time.Microsecond, time.Minute, 15 * time.Minute, time.Hour, 40 * time.Hour}
	qualities := []reading.Quality{
		reading.Actual, reading.Unspecified, reading.Estimated, reading.Corrected, reading.Withdrawn,
	}
	return rapid.Custom(func(t *rapid.T) (out []gold.Version) {
		at := at
		for i := range rapid.IntRange(1, 25).Draw(t, "readings") {
			at += rapid.Int64Range(1, int64(rapid.SampledFrom(steps).Draw(t, "step"))).Draw(t, "distance")
			if rapid.Bool().Draw(t, "on the quarter") {
				at = gold.WindowStart(at, 15*time.Minute) + int64(15*time.Minute)
			}
			out = append(out, gold.Version{
				Time: at, Value: values.Draw(t, "value"), Epoch: 1, Revision: revision,
				Quality: rapid.SampledFrom(qualities).Draw(t, "quality"),
				Flags:   reading.Rules(rapid.SampledFrom([]uint64{0, 0, 1 << 5, 1 << 7}).Draw(t, "flags")),
				Stamp:   reading.Stamp{Received: at, Sequence: revision + 1, Index: uint32(i)},
			})
		}
		return out
	})
}

// anyAsked draws a request and the same in SQL.
func anyAsked(t *rapid.T, first int64) (asked question, from string, arguments []any) {
	asked = question{timeRange: timeRange{start: math.MinInt64, end: math.MaxInt64}}
	var err error
	if rapid.Bool().Draw(t, "calendar") {
		name := rapid.SampledFrom([]string{
			"UTC", "Europe/Paris", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo",
			"Pacific/Apia", "America/St_Johns",
		}).Draw(t, "zone")
		zone, zoneErr := time.LoadLocation(name)
		if zoneErr != nil {
			t.Fatal(zoneErr)
		}
		unit := rapid.SampledFrom([]gold.Calendar{gold.Day, gold.GasDay, gold.Week, gold.Month, gold.Year}).Draw(t, "unit")
		asked.windows, err = gold.CalendarWindows(unit, zone)
		from, arguments = "gold.calendar_aggregates(NULL, NULL, $1, $2, $3, $4)", []any{unit.String(), name}
	} else {
		width := time.Duration(rapid.SampledFrom([]int{1, 2, 5, 24, 100}).Draw(t, "hours")) * time.Hour
		asked.windows, err = gold.FixedWindows(width)
		from, arguments = "gold.aggregates(NULL, NULL, $1, $2, $3)", []any{width}
	}
	if err != nil {
		t.Fatal(err)
	}
	minutes := rapid.Int64Range(-3000, 20_000)
	if rapid.Bool().Draw(t, "with a start") {
		asked.start = first + minutes.Draw(t, "start")*int64(time.Minute)
	}
	if rapid.Bool().Draw(t, "with an end") {
		asked.end = max(asked.start, first) + (1+max(0, minutes.Draw(t, "length")))*int64(time.Minute)
	}
	return asked, from, arguments
}

// cuts reports whether a window's edge lies inside one of the rows.
func cuts(w gold.Windows, rows []gold.Key) bool {
	return slices.ContainsFunc(rows, func(k gold.Key) bool {
		_, end := w.Bounds(k.Start)
		return end < k.Start+int64(k.Width)
	})
}

// TestSQLAnswersLikeTheAPI holds the second implementation, that in SQL, equal to the
// first: all but sums to the bit (invariant 14).
func TestSQLAnswersLikeTheAPI(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, everyKind)
	answered, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := l.record(t)
		asked, from, arguments := anyAsked(t, h.rows[0].Start)
		got, err := l.inSQL(t, asked, from, arguments...)
		if err != nil {
			pg, ok := errors.AsType[*pgconn.PgError](err)
			if !ok || pg.Code != "0A000" || !h.overlap && !cuts(asked.windows, h.rows) {
				t.Fatal(err)
			}
			refused++
			return
		}
		answered++
		var want []sqlRow
		for _, r := range l.ask(t, asked) {
			want = append(want, asSQL(r)...)
		}
		sums := cmp.FilterPath(func(p cmp.Path) bool {
			return slices.Contains([]string{"Sum", "Mean", "Consumption", "Interpolated", "Estimated", "Corrected"}, p.String())
		}, cmpopts.EquateApprox(0, 1e-12*h.scale))
		if diff := cmp.Diff(want, got, sums, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s %v (-API +SQL):\n%s", from, arguments, diff)
		}
	})
	if answered < 2*refused {
		t.Errorf("%d cases were answered and %d refused", answered, refused)
	}
}

func TestSQLRefusesWhatItCannotAnswer(t *testing.T) {
	t.Parallel()
	l := openLibrary(t)
	for _, tt := range []struct{ sql, message string }{
		{"gold.aggregates(NULL, NULL, now(), '2020-01-01', '1h')", "to_time must be after from_time"},
		{"gold.aggregates(NULL, NULL, '0300-01-01', NULL, '1h')", "must be between 1970-01-01 and 2200-01-01"},
		{"gold.aggregates(NULL, NULL, NULL, 'infinity', '1h')", "must be between 1970-01-01 and 2200-01-01"},
		{"gold.aggregates(NULL, NULL, NULL, NULL, '1 month')", "without months"},
		{"gold.aggregates(NULL, NULL, NULL, NULL, NULL)", "window_width must be a duration"},
		{"gold.aggregates('{m}', '{voltage}', NULL, NULL, '20min')",
			"is no multiple of 00:15:00, the base window of m voltage"},
		{"gold.aggregates(NULL, NULL, NULL, '2199-01-01', '15min')", "more than 400000 windows"},
		{"gold.calendar_aggregates(NULL, NULL, NULL, NULL, 'hour')", "use day, week, month, year or gas_day"},
		{"gold.calendar_aggregates(NULL, NULL, NULL, NULL, 'day', 'UTC+2')", "'UTC+2' is no IANA time zone"},
		{"gold.calendar_aggregates(NULL, NULL, NULL, NULL, 'day', 'Mars/Olympus')", `"Mars/Olympus" not recognized`},
	} {
		_, err := l.conn.Exec(t.Context(), "SELECT * FROM "+tt.sql)
		if err == nil || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: %v, want %q", tt.sql, err, tt.message)
		}
	}
}

// TestSQLRefusesToCutARow asks for days that begin inside a base row of an hour.
func TestSQLRefusesToCutARow(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, everyKind)
	collector := gold.NewCollector(l.catalog)
	collector.Add(reading.Series{EntityID: "m", Metric: "rolling", Unit: "kWh"}, gold.Version{
		Time: time.Date(2026, 3, 1, 18, 20, 0, 0, time.UTC).UnixNano(), Value: 1, Epoch: 1, Quality: reading.Actual,
	})
	w := l.store.NewWriter(0, l.catalog, goldstore.WriterConfig{})
	if _, err := w.Flush(t.Context(), goldstore.Flush{Groups: collector.Take()}); err != nil {
		t.Fatal(err)
	}
	const days = "SELECT count(*) FROM gold.calendar_aggregates(NULL, NULL, NULL, NULL, 'day', $1)"
	_, err := l.conn.Exec(t.Context(), days, "Asia/Kathmandu")
	pg, ok := errors.AsType[*pgconn.PgError](err)
	const cut = "the base row of m rolling at 2026-03-01 18:00:00+00: the edge of a window cuts it"
	if !ok || pg.Code != "0A000" || !strings.Contains(pg.Message, cut) ||
		!strings.Contains(pg.Hint, "Ask the query API") {
		t.Errorf("got %v", err)
	}
	if _, err := l.conn.Exec(t.Context(), days, "Asia/Karachi"); err != nil {
		t.Errorf("days that begin between rows: %v", err)
	}
	if _, err := l.conn.Exec(t.Context(), "DELETE FROM gold.metrics"); err != nil {
		t.Fatal(err)
	}
	_, err = l.conn.Exec(t.Context(), days, "UTC")
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || !strings.Contains(pg.Hint, "Start gold-aggregator once") {
		t.Errorf("without a catalogue: %v", err)
	}
}

// TestCalendarWindowsAgree holds the windows of SQL equal to those of the domain
// around changes of clocks.
func TestCalendarWindowsAgree(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, everyKind)
	zones := []string{
		"UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo",
		"Pacific/Apia", "America/St_Johns", "Asia/Beirut", "America/Havana", "Africa/Cairo", "Pacific/Kwajalein",
		"Asia/Tehran",
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zones).Draw(t, "zone")
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		unit := rapid.SampledFrom([]gold.Calendar{gold.Day, gold.GasDay, gold.Week, gold.Month, gold.Year}).Draw(t, "unit")
		w, err := gold.CalendarWindows(unit, zone)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Unix(rapid.Int64Range(946684800, 1798761600).Draw(t, "from"), 0)
		to := from.Add(time.Duration(rapid.IntRange(1, 400*24*60).Draw(t, "minutes")) * time.Minute)
		var want [][2]time.Time
		for at := from.UnixNano(); at < to.UnixNano(); {
			start, end := w.Bounds(at)
			want = append(want, [2]time.Time{time.Unix(0, start), time.Unix(0, end)})
			at = end
		}
		rows, err := l.conn.Query(t.Context(), "SELECT * FROM gold.calendar_windows($1, $2, $3, $4)",
			from, to, unit.String(), name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w [2]time.Time, err error) {
			return w, row.Scan(&w[0], &w[1])
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s of %s (-domain +SQL):\n%s", unit, name, diff)
		}
	})
}
