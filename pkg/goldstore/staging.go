package goldstore

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/gold"
)

// A flush copies rows into a temporary table of the session, then upserts from
// it. The table is made once a connection, outside any transaction, and empties
// itself at commit.

const (
	stagedColumns = `series_id, start, width, ` + statsColumns + `, ` + standingColumns +
		`, epoch, revision, samples, stamps`

	// The types are those of gold.base. EXTERNAL spares the try to compress
	// what is compressed.
	createStaging = `
CREATE TEMP TABLE IF NOT EXISTS gold_staging ON COMMIT DELETE ROWS AS
SELECT ` + stagedColumns + ` FROM gold.base WITH NO DATA;
ALTER TABLE pg_temp.gold_staging ALTER samples SET STORAGE EXTERNAL, ALTER stamps SET STORAGE EXTERNAL`

	copyStaging    = `COPY pg_temp.gold_staging FROM STDIN (FORMAT binary)`
	stagingColumns = 3 + statsCount + standingCount + 4

	// A staged row carries the revision that it will have; the one it rests on
	// is that less one, and 0 means that it rests on no row. The guard makes a
	// row that was changed meanwhile stay as it is, locked: ON CONFLICT locks
	// also the rows whose guard fails, so that they hold still until they were
	// read, merged and staged again. Inserting and locking go in key order,
	// which keeps concurrent flushes from deadlocking.
	upsertBase = `
INSERT INTO gold.base (` + stagedColumns + `, changed_at)
SELECT ` + stagedColumns + `, now()
FROM pg_temp.gold_staging
ORDER BY series_id, start, width
ON CONFLICT (series_id, start, width) DO UPDATE SET
	count = excluded.count, sum = excluded.sum,
	min = excluded.min, min_at_ns = excluded.min_at_ns, max = excluded.max, max_at_ns = excluded.max_at_ns,
	first = excluded.first, first_at_ns = excluded.first_at_ns,
	last = excluded.last, last_at_ns = excluded.last_at_ns,
	squared_deviations = excluded.squared_deviations,
	energy = excluded.energy, advance = excluded.advance, covered_ns = excluded.covered_ns,
	gaps = excluded.gaps, resets = excluded.resets, exchanges = excluded.exchanges,
	estimated_count = excluded.estimated_count, corrected_count = excluded.corrected_count,
	estimated_energy = excluded.estimated_energy, corrected_energy = excluded.corrected_energy,
	flags = excluded.flags, first_quality = excluded.first_quality, last_quality = excluded.last_quality,
	reach_ns = excluded.reach_ns, head_until_ns = excluded.head_until_ns, tail_since_ns = excluded.tail_since_ns,
	overlapping = excluded.overlapping, spikes = excluded.spikes, jumps = excluded.jumps,
	first_received_ns = excluded.first_received_ns, settled_ns = excluded.settled_ns,
	first_settled_ns = excluded.first_settled_ns, last_settled_ns = excluded.last_settled_ns,
	epoch = excluded.epoch, revision = excluded.revision,
	samples = excluded.samples, stamps = excluded.stamps, changed_at = excluded.changed_at
WHERE base.revision = excluded.revision - 1
RETURNING series_id, start, width`

	// Not TRUNCATE, which would write to the system catalogues.
	emptyStaging = `DELETE FROM pg_temp.gold_staging`

	// The bounds on start leave out partitions.
	loadBase = `
SELECT b.series_id, b.start, b.width, ` + statsColumns + `, ` + standingColumns + `, epoch, revision, samples, stamps
FROM unnest($1::bigint[], $2::timestamptz[], $3::integer[]) AS k(series_id, start, width)
JOIN gold.base b ON b.series_id = k.series_id AND b.start = k.start AND b.width = k.width
WHERE b.start BETWEEN $4 AND $5`
)

const stagingMark = "gold_staging"

// prepareStaging makes the staging table of the connection.
func prepareStaging(ctx context.Context, conn *pgx.Conn) error {
	if conn.PgConn().CustomData()[stagingMark] != nil {
		return nil
	}
	ctx, cancel := within(ctx, conn)
	defer cancel()
	if _, err := conn.PgConn().Exec(ctx, createStaging).ReadAll(); err != nil {
		return fmt.Errorf("make the staging table: %w", missingTable(err))
	}
	conn.PgConn().CustomData()[stagingMark] = true
	return nil
}

// Compare orders rows as flushes and batch runs work through them.
func (k RowKey) Compare(l RowKey) int {
	return cmp.Or(cmp.Compare(k.SeriesID, l.SeriesID), cmp.Compare(k.Start, l.Start), cmp.Compare(k.Width, l.Width))
}

// stagedRow writes the row. To keep its versions encoded is for who remembers it.
func (b *copyBuffer) stagedRow(r *row, keep bool) {
	b.row(stagingColumns)
	b.int8(r.key.SeriesID)
	b.time(r.key.Start)
	b.int4(int32(r.key.Width / time.Second))
	b.stats(&r.stats)
	b.standing(&r.standing)
	b.int8(int64(r.epoch))
	b.int8(r.revision)
	if len(r.versions) > gold.PartVersions { // then they are in gold.parts
		b.bytes(nil)
		b.bytes(nil)
		return
	}
	samples, stamps := b.versions(r.key.Start, r.versions)
	if keep {
		n := len(samples)
		all := append(append(make([]byte, 0, n+len(stamps)), samples...), stamps...)
		r.samples, r.stamps = all[:n:n], all[n:]
	}
}

// upsert stages and writes items, which are in key order, and returns those
// that were not written because their rows are not as expected.
func (w *Writer) upsert(ctx context.Context, tx pgx.Tx, items []*item) (unwritten []*item, err error) {
	w.buffer.begin()
	for _, it := range items {
		w.buffer.stagedRow(it.after, !w.cache.off())
	}
	w.buffer.end()
	if err := copyIn(ctx, tx.Conn(), w.buffer, copyStaging); err != nil {
		return nil, fmt.Errorf("stage %d rows: %w", len(items), err)
	}
	rows, err := tx.Query(ctx, upsertBase)
	if err != nil {
		return nil, fmt.Errorf("upsert %d rows: %w", len(items), err)
	}
	written := make(map[RowKey]struct{}, len(items))
	for rows.Next() {
		f := fields{values: rows.RawValues()}
		written[f.key()] = struct{}{}
		if err := f.err(); err != nil {
			rows.Close()
			return nil, fmt.Errorf("upsert %d rows: %w", len(items), err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("upsert %d rows from %s on: %w", len(items), items[0], err)
	}
	for _, it := range items {
		if _, ok := written[it.after.key]; !ok {
			unwritten = append(unwritten, it)
		}
	}
	return unwritten, nil
}

// load sets the rows of items to what the database has, nil where it has none,
// and empties the staging table.
func load(ctx context.Context, tx pgx.Tx, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	byKey, split := make(map[RowKey]*item, len(items)), make(map[RowKey]*row)
	for _, it := range items {
		it.before = nil
		byKey[it.key] = it
	}
	keys := column(items, func(it **item) RowKey { return (*it).key })
	from, to := spanOf(keys)
	ids, starts, widths := keyColumns(keys)
	var b pgx.Batch
	b.Queue(emptyStaging)
	b.Queue(loadBase, ids, starts, widths, from, to).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			r, whole, err := scanRow(rows.RawValues())
			if err != nil {
				return err
			}
			if byKey[r.key].before = r; !whole {
				split[r.key] = r
			}
		}
		return rows.Err()
	})
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("load %d rows from %s on: %w", len(items), items[0], err)
	}
	return loadVersions(ctx, tx, split)
}

// scanRow reads a row of loadBase. It is whole unless its versions are stored in
// parts.
func scanRow(values [][]byte) (r *row, whole bool, err error) {
	f := fields{values: values}
	r = &row{key: f.key()}
	f.stats(&r.stats)
	f.standing(&r.standing)
	r.epoch, r.revision = uint64(f.int8()), f.int8()
	samples, stamps := f.bytes(), f.bytes()
	if err := f.err(); err != nil || len(samples) == 0 && len(stamps) == 0 {
		return r, false, err
	}
	if r.versions, err = gold.Decode(r.key.Start, samples, stamps); err != nil {
		return nil, false, fmt.Errorf("row of series %d at %d: %w", r.key.SeriesID, r.key.Start, err)
	}
	return r, true, nil
}

// keyColumns returns keys as query arguments.
func keyColumns(keys []RowKey) (ids []int64, starts []time.Time, widths []int32) {
	return column(keys, func(k *RowKey) int64 { return k.SeriesID }),
		column(keys, func(k *RowKey) time.Time { return timestamp(k.Start) }),
		column(keys, func(k *RowKey) int32 { return int32(k.Width / time.Second) })
}

func timestamp(ns int64) time.Time { return time.Unix(0, ns).UTC() }
