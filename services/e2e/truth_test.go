package e2e_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// truthRow is a window of a series, as the truth has it or as it was answered.
type truthRow struct {
	series               string
	start, end           int64 // Unix s
	count                uint64
	estimated, corrected uint64
	resets, exchanges    uint64
	sum, min, max        float64
	energy               float64
	hasEnergy            bool
}

// truth is what a fleet's files say.
type truth struct {
	windows, days map[string][]truthRow // by series, in time order
	quarantine    map[string]uint64     // by stage and rule
}

func loadTruth(t *testing.T, dir string) *truth {
	t.Helper()
	r := &truth{quarantine: make(map[string]uint64)}
	r.windows = readTruth(t, filepath.Join(dir, "truth_windows.csv.gz"))
	r.days = readTruth(t, filepath.Join(dir, "truth_days.csv.gz"))
	file, err := os.Open(filepath.Join(dir, "truth_quarantine.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	eachRecord(t, file, func(field func(string) string) {
		r.quarantine[field("stage")+" "+field("rule")] += number[uint64](t, field("count"))
	})
	return r
}

func readTruth(t *testing.T, path string) map[string][]truthRow {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]truthRow)
	eachRecord(t, unpacked, func(field func(string) string) {
		count := func(name string) uint64 { return number[uint64](t, field(name)) }
		value := func(name string) float64 { return number[float64](t, field(name)) }
		at := func(name string) int64 {
			at, err := time.Parse(time.RFC3339, field(name))
			if err != nil {
				t.Fatal(err)
			}
			return at.Unix()
		}
		r := truthRow{
			series: seriesOf(field("entity_id"), field("metric"), field("unit")), start: at("start"), end: at("end"),
			count: count("count"), estimated: count("estimated"), corrected: count("corrected"),
			resets: count("resets"), exchanges: count("exchanges"),
			sum: value("sum"), min: value("min"), max: value("max"), energy: value("energy"), hasEnergy: field("energy") != "",
		}
		rows[r.series] = append(rows[r.series], r)
	})
	return rows
}

// eachRecord calls fn for each record of a CSV file with a header.
func eachRecord(t *testing.T, file io.Reader, fn func(field func(string) string)) {
	t.Helper()
	r := csv.NewReader(bufio.NewReader(file))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	columns := make(map[string]int)
	for i, name := range header {
		columns[strings.Clone(name)] = i
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		fn(func(name string) string { return record[columns[name]] })
	}
}

// number reads a number; nothing is 0.
func number[N uint64 | float64](t *testing.T, text string) N {
	t.Helper()
	if text == "" {
		return 0
	}
	var n N
	switch p := any(&n).(type) {
	case *uint64:
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		*p = v
	case *float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		*p = v
	}
	return n
}

// check compares all that ask takes with the truth, and returns how many windows
// that is. Windows come in the order of time; of those that the truth has not,
// nothing may be known.
func (r *truth) check(t *testing.T, want map[string][]truthRow, ask func(take func(truthRow))) (n int) {
	t.Helper()
	next := make(map[string]int)
	faults := 0
	fault := func(format string, args ...any) {
		if faults++; faults <= 10 {
			t.Errorf(format, args...)
		}
	}
	ask(func(got truthRow) {
		rows, i := want[got.series], next[got.series]
		if i >= len(rows) || rows[i].start != got.start {
			if got.count != 0 || got.hasEnergy {
				fault("the truth has nothing of %+v", got)
			}
			return
		}
		next[got.series]++
		n++
		if !rows[i].equals(&got) {
			fault("the truth is\n%+v, the answer\n%+v", rows[i], got)
		}
	})
	for series, rows := range want {
		if i := next[series]; i < len(rows) {
			fault("%d of %d windows are not answered, from %+v on", len(rows)-i, len(rows), rows[i])
		}
	}
	if faults > 10 {
		t.Errorf("and %d more", faults-10)
	}
	return n
}

// equals compares counts, minima and maxima exactly. Sums follow the readings'
// order in floats; the truth is exact, so they may differ by 1e-12 of Σ|x|, to
// which a register's index counts, since its steps are differences of it.
func (r *truthRow) equals(got *truthRow) bool {
	size := math.Max(math.Abs(r.min), math.Abs(r.max))
	near := func(a, b float64) bool {
		return math.Abs(a-b) <= 1e-12*(float64(r.count)*size+math.Max(math.Abs(a), math.Abs(b)))+registerUlps
	}
	return r.end == got.end && r.count == got.count && r.estimated == got.estimated && r.corrected == got.corrected &&
		r.resets == got.resets && r.exchanges == got.exchanges && r.min == got.min && r.max == got.max &&
		r.hasEnergy == got.hasEnergy && near(r.sum, got.sum) && near(r.energy, got.energy)
}

// registerUlps is what the difference of two indices below 2^17 may be off by.
const registerUlps = 1e-10

// question asks for windows of that width, or for days of a zone.
type question struct {
	entities []string
	width    time.Duration
	zone     string
}

func (q question) request() *energyv1.QueryAggregatesRequest {
	w := &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(q.width)}}
	if q.zone != "" {
		w = &energyv1.Window{Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_DAY}, Zone: q.zone}
	}
	return &energyv1.QueryAggregatesRequest{Selector: &energyv1.Selector{EntityIds: q.entities}, Window: w}
}

// rowsOf calls take for the windows of a response.
func rowsOf(r *energyv1.QueryAggregatesResponse, take func(truthRow)) {
	key := r.GetSeries()
	series := seriesOf(key.GetEntityId(), key.GetMetric(), key.GetUnit())
	for _, a := range r.GetAggregates() {
		s := a.GetStatistics()
		take(truthRow{
			series: series, start: a.GetStart().GetSeconds(), end: a.GetEnd().GetSeconds(), count: a.GetReceived(),
			estimated: s.GetEstimatedCount(), corrected: s.GetCorrectedCount(),
			resets: s.GetResets(), exchanges: s.GetExchanges(), sum: s.GetSum(), min: s.GetMin(), max: s.GetMax(),
			energy: s.GetEnergy() + s.GetAdvance(), hasEnergy: r.GetEnergyUnit() != "" && s != nil,
		})
	}
}

func askGRPC(t *testing.T, p *platform, q question, take func(truthRow)) {
	t.Helper()
	stream, err := p.query.QueryAggregates(t.Context(), q.request())
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		rowsOf(r, take)
	}
}

func askREST(t *testing.T, p *platform, q question, take func(truthRow)) {
	t.Helper()
	body, err := protojson.Marshal(q.request())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.http+"/v1/aggregates:query",
		strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewReader(res.Body); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			result, ok := strings.CutPrefix(line, `{"result":`)
			if !ok {
				t.Fatalf("a line is no result: %.500s", line)
			}
			r := new(energyv1.QueryAggregatesResponse)
			unmarshal(t, strings.TrimSuffix(result, "}"), r)
			rowsOf(r, take)
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func askSQL(t *testing.T, p *platform, q question, take func(truthRow)) {
	t.Helper()
	const columns = `SELECT entity, metric, unit,
		extract(epoch FROM window_start)::bigint, extract(epoch FROM window_end)::bigint,
		count, estimated_count, corrected_count, resets, exchanges, coalesce(sum, 0), coalesce(min, 0), coalesce(max, 0),
		consumption FROM `
	sql, arguments := columns+"gold.aggregates($1, NULL, NULL, NULL, $2)", []any{q.entities, q.width}
	if q.zone != "" {
		sql, arguments = columns+"gold.calendar_aggregates($1, NULL, NULL, NULL, 'day', $2)", []any{q.entities, q.zone}
	}
	p.sql(t, sql, arguments, func(scan func(...any)) {
		var r truthRow
		var entity, metric, unit string
		var energy *float64
		scan(&entity, &metric, &unit, &r.start, &r.end, &r.count, &r.estimated, &r.corrected, &r.resets, &r.exchanges,
			&r.sum, &r.min, &r.max, &energy)
		r.series = seriesOf(entity, metric, unit)
		if energy != nil {
			r.energy, r.hasEnergy = *energy, true
		}
		take(r)
	})
}

// sql calls fn for each row of a query, as a BI tool would ask it.
func (p *platform) sql(t *testing.T, sql string, arguments []any, fn func(scan func(...any))) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), sql, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		fn(func(into ...any) {
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", sql, err))
	}
}

func unmarshal(t *testing.T, body string, m proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal([]byte(body), m); err != nil {
		t.Fatalf("%v in %.500s", err, body)
	}
}
