package goldstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

const (
	lockRoll   = `SELECT pg_advisory_xact_lock($1, $2)`
	quietSince = `SELECT clock_timestamp() - $1::interval`

	// The rows of days and those before from which a reading may reach into one.
	// Days of series that reach too far for parents have none. The bounds on start
	// leave out partitions. OFFSET 0 keeps one walk of the index a day of a series.
	dayRows = `
SELECT d.n, b.*
FROM unnest($1::timestamptz[], $2::bigint[]) WITH ORDINALITY AS d(day, series_id, n)
JOIN gold.series s ON s.id = d.series_id AND s.reach_ns <= $5
CROSS JOIN LATERAL (
	SELECT ` + spreadColumns + `, ` + versionColumns + `
	FROM (SELECT *, ` + tangled + ` AS needed FROM ` + spreadBase + `
		series_id = d.series_id AND start >= d.day - s.reach_ns / 1000 * interval '1 microsecond'
		AND start < d.day + interval '1 day' AND start >= $3 AND start < $4) AS b) AS b OFFSET 0) AS b
ORDER BY d.n, b.start, b.width`

	// Nobody else writes days of the partition under the lock.
	deleteDays = `
DELETE FROM gold.days USING unnest($1::timestamptz[], $2::bigint[]) AS d(day, series_id)
WHERE days.series_id = d.series_id AND days.start = d.day`
	copyDays       = `COPY gold.days (series_id, start, fold_key, day, hours) FROM STDIN (FORMAT binary)`
	dayColumnCount = 5

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
	roller    *Roller
	due       []dueDay  // in order of day and series
	locked    time.Time // when the lock was had
	quiet     time.Time // days that changed later are put off
	days      copyBuffer
	pieces    []gold.Stored // memory for those of a day
	rolled    []seriesDay   // with folds in the buffer
	gone      []seriesDay   // without rows, or that are not folded
	last      int64         // the last day of all, Unix ns
	postponed []seriesDay
	changed   []time.Time // of the postponed
}

// newRolling returns a rolling of the days.
func newRolling(r *Roller, due []dueDay) *rolling {
	return &rolling{roller: r, last: due[len(due)-1].day, due: due}
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
	t.days.begin()
	var (
		from, to = t.bounds()
		days, id = dayColumns(column(t.due, func(d *dueDay) seriesDay { return d.seriesDay }))
		read     = ReadTx{tx: tx}
		day      = t.open(0)
		at       = 0 // the day at hand
	)
	arguments := []any{days, id, from.Add(-maxParentReach), to, int64(maxParentReach)}
	err := read.each(ctx, dayRows, arguments, func(f *fields) error {
		for n := int(f.int8()) - 1; at < n; {
			if err := t.finish(day); err != nil {
				return err
			}
			at++
			day = t.open(at)
		}
		row, stats, err := f.spreadRow()
		if err != nil {
			return err
		}
		row.summarize(day.metric, stats)
		return day.add(&row)
	})
	for err == nil && at < len(t.due) {
		if err = t.finish(day); err == nil {
			if at++; at < len(t.due) {
				day = t.open(at)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("read the rows of %d days: %w", len(t.due), err)
	}
	t.days.end()
	return nil
}

// rollingDay is a due day whose rows are being read.
type rollingDay struct {
	*dueDay
	catalog *catalog.Catalog
	spread  *gold.Spread
	pieces  []gold.Stored
	own     int // rows of the day
}

// open begins a due day.
func (t *rolling) open(n int) *rollingDay {
	d := &rollingDay{dueDay: &t.due[n], catalog: t.roller.catalog, pieces: t.pieces[:0]}
	d.spread = gold.NewSpread(d.metric, gold.Windows{}, d.day, d.day+int64(gold.DaySpan), func(p *gold.Stored) error {
		d.pieces = append(d.pieces, *p)
		return nil
	})
	d.spread.SetHistory(d.catalog.History())
	return d
}

// add takes in a row of the day or before it.
func (d *rollingDay) add(row *spreadRow) error {
	if row.Start >= d.day {
		d.own++
	}
	if err := knowsEpochs(d.catalog, row.versions); err != nil {
		return fmt.Errorf("row of series %d at %s: %w", d.series, timestamp(row.Start), err)
	}
	if d.metric.Paired() { // nothing reaches beyond its row
		d.pieces = append(d.pieces, row.Stored)
		return nil
	}
	return d.spread.Add(&row.Stored, row.versions)
}

// finish puts the parents of a day into the buffers. A day that changed lately
// is put off; one without rows, of a partition that was dropped, keeps what it
// has, and so does one of a series that reaches too far, whose parents nobody
// reads.
func (t *rolling) finish(d *rollingDay) error {
	if err := d.spread.Finish(); err != nil {
		return fmt.Errorf("day %s of series %d: %w", timestamp(d.day).Format(time.DateOnly), d.series, err)
	}
	t.pieces = d.pieces // their memory
	if d.own == 0 {
		t.gone = append(t.gone, d.seriesDay)
		return nil
	}
	hours, day := gold.Parents(d.metric, d.pieces)
	if day.Changed.After(t.quiet) {
		t.postponed, t.changed = append(t.postponed, d.seriesDay), append(t.changed, day.Changed)
		return nil
	}
	b := &t.days
	b.row(dayColumnCount)
	b.int8(d.series)
	b.time(d.day)
	b.int8(gold.FoldKey(d.metric))
	b.folds(day)
	b.folds(hours...)
	t.rolled = append(t.rolled, d.seriesDay)
	return nil
}

// folds writes a column of folds.
func (b *copyBuffer) folds(folds ...gold.Stored) {
	at := b.open()
	*b = gold.AppendFolds(*b, folds)
	b.close(at)
}

// write replaces the parents of the days in the buffers.
func (t *rolling) write(ctx context.Context, tx pgx.Tx) error {
	if len(t.rolled) == 0 {
		return nil
	}
	days, ids := dayColumns(t.rolled)
	if _, err := tx.Exec(ctx, deleteDays, days, ids); err != nil {
		return fmt.Errorf("delete %d days: %w", len(days), err)
	}
	if err := copyIn(ctx, tx.Conn(), t.days, copyDays); err != nil {
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
