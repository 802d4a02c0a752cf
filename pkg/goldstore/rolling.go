package goldstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/gold"
)

const (
	lockRoll   = `SELECT pg_advisory_xact_lock($1, $2)`
	quietSince = `SELECT clock_timestamp() - $1::interval`

	// The bounds on start leave out partitions. OFFSET 0 keeps one walk of the
	// index a day of a series.
	dayRows = `
SELECT d.n, b.start, b.width, ` + statsColumns + `, epoch, revision, changed_at
FROM unnest($1::timestamptz[], $2::bigint[]) WITH ORDINALITY AS d(day, series_id, n)
CROSS JOIN LATERAL (SELECT * FROM gold.base WHERE series_id = d.series_id
	AND start >= d.day AND start < d.day + interval '1 day' AND start >= $3 AND start < $4 OFFSET 0) AS b
ORDER BY d.n, b.start, b.width`

	deleteParents = `
WITH old AS (
	DELETE FROM gold.days USING unnest($1::timestamptz[], $2::bigint[]) AS d(day, series_id)
	WHERE days.series_id = d.series_id AND days.start = d.day
	RETURNING days.series_id, days.start
)
DELETE FROM gold.hours USING old WHERE hours.series_id = old.series_id
AND hours.start >= old.start AND hours.start < old.start + interval '1 day' AND hours.start >= $3 AND hours.start < $4`

	unmarkDays = `
DELETE FROM gold.changed_days c USING unnest($2::timestamptz[], $3::bigint[]) AS d(day, series_id)
WHERE c.partition = $1 AND c.day = d.day AND c.series_id = d.series_id`
	postponeDays = `
UPDATE gold.changed_days c SET touched_at = d.at
FROM unnest($2::timestamptz[], $3::bigint[], $4::timestamptz[]) AS d(day, series_id, at)
WHERE c.partition = $1 AND c.day = d.day AND c.series_id = d.series_id`
	countRoll = `
INSERT INTO gold.generations (partition, generation, rolls, rolled_day) VALUES ($1, 0, 1, $2)
ON CONFLICT (partition) DO UPDATE SET rolls = generations.rolls + 1,
	rolled_day = greatest(generations.rolled_day, excluded.rolled_day)`
)

// rolling is one transaction of a roller.
type rolling struct {
	roller      *Roller
	due         []dueDay  // in order of day and series
	locked      time.Time // when the lock was had
	quiet       time.Time // days that changed later are put off
	hours, days copyBuffer
	rolled      []seriesDay // with parents in the buffers
	gone        []seriesDay // without rows, or that get no parents
	last        int64       // the last day of all, Unix ns
	postponed   []seriesDay
	changed     []time.Time // of the postponed
}

// newRolling returns a rolling of the days. Those of metrics that are Paired are
// taken out of the changed ones and no more: a change has set stale what parents
// they have, of a time when the metric was not Paired, and they stay stale.
func newRolling(r *Roller, due []dueDay) *rolling {
	t := &rolling{roller: r, last: due[len(due)-1].day}
	for i := range due {
		if due[i].metric.Paired() {
			t.gone = append(t.gone, due[i].seriesDay)
		} else {
			t.due = append(t.due, due[i])
		}
	}
	return t
}

func (t *rolling) run(ctx context.Context, tx pgx.Tx) error {
	r := t.roller
	var b pgx.Batch
	b.Queue(lockRoll, int32(lockClass), int32(r.partition))
	b.Queue(quietSince, r.config.Quiet).QueryRow(func(row pgx.Row) error { return row.Scan(&t.quiet) })
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	t.locked = time.Now()
	if len(t.due) == 0 {
		return t.record(ctx, tx)
	}
	if err := t.fold(ctx, tx); err != nil {
		return err
	}
	if err := t.write(ctx, tx); err != nil {
		return err
	}
	return t.record(ctx, tx)
}

// bounds returns the span that the days lie in, for queries.
func (t *rolling) bounds() (from, to time.Time) {
	return timestamp(t.due[0].day), timestamp(t.due[len(t.due)-1].day + int64(gold.DaySpan))
}

// fold reads the base rows of the days, which nobody changes under the lock,
// and folds them into the buffers a day at a time.
func (t *rolling) fold(ctx context.Context, tx pgx.Tx) error {
	t.hours.begin()
	t.days.begin()
	var (
		from, to = t.bounds()
		days, id = dayColumns(column(t.due, func(d *dueDay) seriesDay { return d.seriesDay }))
		read     = ReadTx{tx: tx}
		rows     []gold.Stored // of the day at hand
		epoch    int64         // greatest of them
		at       int           // the day at hand
	)
	err := read.each(ctx, dayRows, []any{days, id, from, to}, func(f *fields) error {
		for n := int(f.int8()) - 1; at < n; at++ {
			t.finish(&t.due[at], rows, epoch)
			rows, epoch = rows[:0], 0
		}
		row := gold.Stored{Start: f.nanos(), Width: time.Duration(f.int4()) * time.Second}
		var p gold.Partial
		f.stats(&p)
		epoch = max(epoch, f.int8())
		row.Summary = gold.Summarize(t.due[at].metric, row.Start, row.Width, p)
		row.Revision, row.Changed = f.int8(), f.time()
		rows = append(rows, row)
		return f.err()
	})
	if err != nil {
		return fmt.Errorf("read the rows of %d days: %w", len(t.due), err)
	}
	for ; at < len(t.due); at++ {
		t.finish(&t.due[at], rows, epoch)
		rows, epoch = rows[:0], 0
	}
	t.hours.end()
	t.days.end()
	return nil
}

// finish puts the parents of a day into the buffers. A day that changed lately
// is put off; one without rows, of a partition that was dropped, keeps what it
// has.
func (t *rolling) finish(d *dueDay, rows []gold.Stored, epoch int64) {
	if len(rows) == 0 {
		t.gone = append(t.gone, d.seriesDay)
		return
	}
	hours, day := gold.Parents(d.metric, rows)
	if day.Changed.After(t.quiet) {
		t.postponed, t.changed = append(t.postponed, d.seriesDay), append(t.changed, day.Changed)
		return
	}
	key := gold.FoldKey(d.metric)
	for i := range hours {
		t.hours.parent(d.series, &hours[i], epoch, key)
	}
	t.days.parent(d.series, &day, epoch, key)
	t.rolled = append(t.rolled, d.seriesDay)
}

// write replaces the parents of the days in the buffers.
func (t *rolling) write(ctx context.Context, tx pgx.Tx) error {
	if len(t.rolled) == 0 {
		return nil
	}
	from, to := t.bounds()
	days, ids := dayColumns(t.rolled)
	if _, err := tx.Exec(ctx, deleteParents, days, ids, from, to); err != nil {
		return fmt.Errorf("delete the parents of %d days: %w", len(days), err)
	}
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(t.hours), copyHours); err != nil {
		return fmt.Errorf("write the hours of %d days: %w", len(days), err)
	}
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(t.days), copyDays); err != nil {
		return fmt.Errorf("write %d days: %w", len(days), err)
	}
	return nil
}

// record takes the days that were rolled out of those that changed, and tells
// writers.
func (t *rolling) record(ctx context.Context, tx pgx.Tx) error {
	partition := int32(t.roller.partition)
	var b pgx.Batch
	if len(t.rolled)+len(t.gone) > 0 {
		days, ids := dayColumns(append(t.gone, t.rolled...))
		b.Queue(unmarkDays, partition, days, ids)
		b.Queue(countRoll, partition, timestamp(t.last))
	}
	if len(t.postponed) > 0 {
		days, ids := dayColumns(t.postponed)
		b.Queue(postponeDays, partition, days, ids, t.changed)
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("take out the changed days: %w", err)
	}
	return nil
}

// A parent's columns behind its key and statistics.
const (
	parentColumns = `epoch, revision, changed_at, peak, peak_at_ns, cadence_ns, fold_key`
	parentCount   = 3 + statsCount + 7

	copyHours = `COPY gold.hours (series_id, start, width, ` + statsColumns + `, ` + parentColumns +
		`) FROM STDIN (FORMAT binary)`
	copyDays = `COPY gold.days (series_id, start, width, ` + statsColumns + `, ` + parentColumns +
		`) FROM STDIN (FORMAT binary)`
)

func (b *copyBuffer) parent(series int64, p *gold.Stored, epoch, key int64) {
	b.row(parentCount)
	b.int8(series)
	b.time(p.Start)
	b.int4(int32(p.Width / time.Second))
	b.stats(&p.Stats)
	b.int8(epoch)
	b.int8(p.Revision)
	b.time(p.Changed.UnixNano())
	if p.HasPeak {
		b.float8(p.Peak)
		b.int8(p.PeakAt)
	} else {
		b.null()
		b.null()
	}
	b.int8(int64(p.Cadence))
	b.int8(key)
}
