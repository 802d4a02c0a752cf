package goldstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/gold"
)

// A flush marks the days that it changes: it adds them to gold.changed_days
// and sets the parents that exist stale, in its transaction. A marked day stays
// marked until the roller writes its parents, so a writer does this once a
// series and day and then remembers it. It learns of parents written meanwhile
// by the partition's number of rolls, which it reads under the shared lock,
// while rollers hold the exclusive one.

// seriesDay is a UTC day of a series.
type seriesDay struct {
	series int64
	day    int64 // its start, Unix ns
}

func (d seriesDay) compare(e seriesDay) int {
	return cmp.Or(cmp.Compare(d.day, e.day), cmp.Compare(d.series, e.series))
}

// marks is the days that are known to be marked.
type marks struct {
	days  map[seriesDay]struct{}
	rolls int64 // of the partition when they were known
}

// maxMarks bounds the days that a writer remembers. At the bound all are
// forgotten, which costs marking each again.
const maxMarks = 1 << 16

func newMarks() marks { return marks{days: make(map[seriesDay]struct{})} }

// forget drops the days that may have been rolled, none of which is later than
// the last rolled day.
func (m *marks) forget(rolls int64, rolled *time.Time) {
	if rolls == m.rolls {
		return
	}
	m.rolls = rolls
	for d := range m.days {
		if rolled == nil || d.day <= rolled.UnixNano() {
			delete(m.days, d)
		}
	}
}

func (m *marks) add(days []seriesDay) {
	if len(m.days)+len(days) > maxMarks {
		clear(m.days)
	}
	for _, d := range days {
		m.days[d] = struct{}{}
	}
}

// Adding in key order keeps concurrent flushes from deadlocking. A day that is
// there has no parents that are not stale, so only those added are looked for.
const markDays = `
WITH added AS (
	INSERT INTO gold.changed_days (partition, day, series_id)
	SELECT $1, day, series_id FROM unnest($2::timestamptz[], $3::bigint[]) AS d(day, series_id)
	ORDER BY day, series_id
	ON CONFLICT DO NOTHING
	RETURNING day, series_id
)
UPDATE gold.days AS d SET stale = true
FROM added WHERE d.series_id = added.series_id AND d.start = added.day AND NOT d.stale`

// mark marks the days that change and are not known to be marked: those of the rows that
// change, and those that a reading of such a row reaches into or did (invariant 13).
func (t *transaction) mark(ctx context.Context, tx pgx.Tx) error {
	t.marked = t.marked[:0]
	for i := range t.items {
		if t.items[i].after == nil {
			continue
		}
		first, last := t.items[i].touches()
		for day := first; day <= last; day += int64(gold.DaySpan) {
			d := seriesDay{t.items[i].key.SeriesID, day}
			if _, known := t.writer.marks.days[d]; !known {
				t.marked = append(t.marked, d)
			}
		}
	}
	if len(t.marked) == 0 {
		return nil
	}
	slices.SortFunc(t.marked, seriesDay.compare)
	t.marked = slices.Compact(t.marked)
	days, ids := dayColumns(t.marked)
	if _, err := tx.Exec(ctx, markDays, int32(t.writer.partition), days, ids); err != nil {
		return fmt.Errorf("mark %d changed days: %w", len(t.marked), err)
	}
	return nil
}

// touches returns the first and the last day whose parents the change of the row
// touches. Of series with a reading that reaches further than maxParentReach
// nobody uses parents.
func (it *item) touches() (first, last int64) {
	first = gold.WindowStart(it.key.Start, gold.DaySpan)
	reach := it.after.stats.Reach
	if it.before != nil {
		reach = max(reach, it.before.stats.Reach)
	}
	reach = min(reach, it.key.Start+int64(maxParentReach))
	return first, max(first, gold.WindowStart(reach-1, gold.DaySpan))
}

// dayColumns returns days as query arguments.
func dayColumns(all []seriesDay) (days []time.Time, ids []int64) {
	return column(all, func(d *seriesDay) time.Time { return timestamp(d.day) }),
		column(all, func(d *seriesDay) int64 { return d.series })
}
