package goldstore

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/gold"
)

// explaining explains each query before it runs it.
type explaining struct {
	pgx.Tx
	plans []string
}

func (e *explaining) Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error) {
	rows, err := e.Tx.Query(ctx, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "+sql, arguments...)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	e.plans = append(e.plans, strings.Join(lines, "\n"))
	return e.Tx.Query(ctx, sql, arguments...)
}

var scanned = regexp.MustCompile(`(Seq|Index Only|Index|Bitmap Heap) Scan(?: Backward)?(?: using \w+)? on (base_\w+|days|series)\b.*`)

// touched returns the scans of partitions of gold.base, of gold.days and of
// gold.series that were executed.
func (e *explaining) touched() []string {
	found := make(map[string]bool)
	for _, plan := range e.plans {
		for _, m := range scanned.FindAllStringSubmatch(plan, -1) {
			if strings.Contains(m[0], "never executed") || strings.HasSuffix(m[2], "_pkey") {
				continue
			}
			if m[1] != "Seq" { // a bitmap is one of the index
				m[1] = "Index"
			}
			found[m[1]+" of "+m[2]] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// TestPlansTouchWhatTheyNeed has 50 series of 12 weeks, all but today's day
// folded, and looks at what answers scan: of partitions those alone that hold what
// is asked for, and of all tables by their index.
func TestPlansTouchWhatTheyNeed(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 1)
	w := s.NewWriter(0, c, WriterConfig{})
	const weeks = 12
	for day := range weeks * 7 {
		collector := gold.NewCollector(c)
		for n := range 50 {
			for hour := 0; hour < 24; hour += 3 {
				one := interval
				one.EntityID = fmt.Sprintf("meter-%d", n)
				at := time.Duration(day*24+hour+24) * time.Hour // from a Monday on
				collector.Add(one, version(at, 1, uint64(day+1)))
				one.Metric = register.Metric
				collector.Add(one, version(at, float64(day*24+hour), uint64(day+1)))
			}
		}
		flush(t, w, Flush{Groups: collector.Take()})
	}
	if err := rollAll(t.Context(), s.NewRoller(0, c, RollerConfig{})); err != nil {
		t.Fatal(err)
	}
	first, end := sunday+int64(gold.DaySpan), sunday+int64(gold.DaySpan)+weeks*int64(week)
	exec(t, s, "DELETE FROM gold.days WHERE start = $1", timestamp(end-int64(gold.DaySpan)))
	exec(t, s, "ANALYZE")
	partition := func(at int64) string {
		y, w := timestamp(at).ISOWeek()
		return fmt.Sprintf("Index of base_%dw%02d", y, w)
	}
	days, err := gold.FixedWindows(24 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	read(t, s, func(tx *ReadTx) {
		series, err := tx.Series(t.Context(), Selector{Entities: []string{"meter-7", "meter-8"}})
		if err != nil {
			t.Fatal(err)
		}
		e := &explaining{Tx: tx.tx}
		spied := &ReadTx{tx: e}
		check := func(what string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, e.touched()); diff != "" {
				t.Errorf("%s touches (-want +got):\n%s\n%s", what, diff, strings.Join(e.plans, "\n\n"))
			}
			e.plans = nil
		}
		bounds, err := spied.Bounds(t.Context(), series)
		if err != nil || len(bounds) != len(series) {
			t.Fatalf("%d bounds, %v", len(bounds), err)
		}
		check("the ends of series", partition(first), partition(end-1))
		latest, err := spied.Latest(t.Context(), series)
		if err != nil || len(latest) != len(series) {
			t.Fatalf("%d readings, %v", len(latest), err)
		}
		check("the latest reading", partition(end-1))
		ask := func(from, to int64) {
			t.Helper()
			asks := make([]Ask, len(series))
			for i, one := range series {
				asks[i] = Ask{
					Series: one, Bounds: bounds[one.ID], Metric: c.Metric(one.Series), History: c.History(), Windows: days,
					From: from, To: to,
				}
			}
			if _, err := spied.Pieces(t.Context(), asks); err != nil {
				t.Fatal(err)
			}
		}
		ask(first, end)
		check("all days", partition(end-1), "Index of days")
		middle := first + 4*int64(week)
		ask(middle, middle+2*int64(week))
		check("two weeks, whose neighbours are looked for", partition(middle-1), partition(middle+2*int64(week)), "Index of days")
	})
}
