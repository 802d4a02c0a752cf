package goldstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/gold"
)

// A row with more than gold.PartVersions versions has them in gold.parts (see
// gold.Split), and in gold.base its statistics and no bytes in their place. All
// that changes a row changes its revision in gold.base: who has written that
// holds the row, and with it its parts, until the commit. The parts in the
// database are those of the versions that the guard of the update rested on, so
// that only the ones that differ are replaced.

const (
	// The bounds on start leave out partitions.
	deleteParts = `
DELETE FROM gold.parts p
USING unnest($1::bigint[], $2::timestamptz[], $3::integer[], $4::timestamptz[])
	AS k(series_id, start, width, part_start)
WHERE p.series_id = k.series_id AND p.start = k.start AND p.width = k.width AND p.part_start = k.part_start
	AND p.start BETWEEN $5 AND $6`
	copyParts = `
COPY gold.parts (series_id, start, width, part_start, part_width, samples, stamps) FROM STDIN (FORMAT binary)`
	partColumns = 7

	loadParts = `
SELECT p.series_id, p.start, p.width, p.part_start, p.samples, p.stamps
FROM unnest($1::bigint[], $2::timestamptz[], $3::integer[]) AS k(series_id, start, width)
JOIN gold.parts p ON p.series_id = k.series_id AND p.start = k.start AND p.width = k.width
WHERE p.start BETWEEN $4 AND $5
ORDER BY p.series_id, p.start, p.width, p.part_start`
)

// partKey names a part of a row.
type partKey struct {
	RowKey
	start int64 // of the part, Unix ns
}

// parts returns the parts that the row is stored in, none of no row.
func (r *row) parts() []gold.Part {
	if r == nil {
		return nil
	}
	return gold.Split(r.key.Start, r.key.Width, r.versions)
}

// changedParts returns the parts of the row that the database is to lose, those
// that are replaced among them, and those that it is to get.
func (it *item) changedParts() (gone, fresh []gold.Part) {
	before, after := it.before.parts(), it.after.parts()
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Start < after[0].Start:
			gone, before = append(gone, before[0]), before[1:]
		case len(before) == 0 || after[0].Start < before[0].Start:
			fresh, after = append(fresh, after[0]), after[1:]
		default:
			if b, a := &before[0], &after[0]; b.Width != a.Width || !gold.Equal(b.Versions, a.Versions) {
				gone, fresh = append(gone, *b), append(fresh, *a)
			}
			before, after = before[1:], after[1:]
		}
	}
	return gone, fresh
}

// writeParts brings the parts of the rows that were written to what they are to
// become.
func (t *transaction) writeParts(ctx context.Context, tx pgx.Tx) error {
	var gone []partKey
	added, b := 0, &t.writer.buffer
	b.begin()
	for i := range t.items {
		it := &t.items[i]
		if it.after == nil {
			continue
		}
		old, fresh := it.changedParts()
		for _, p := range old {
			gone = append(gone, partKey{it.key, p.Start})
		}
		for i := range fresh {
			b.part(it.key, &fresh[i])
		}
		added += len(fresh)
	}
	b.end()
	if len(gone) > 0 {
		keys := column(gone, func(k *partKey) RowKey { return k.RowKey })
		ids, starts, widths := keyColumns(keys)
		from, to := spanOf(keys)
		partStarts := column(gone, func(k *partKey) time.Time { return timestamp(k.start) })
		if _, err := tx.Exec(ctx, deleteParts, ids, starts, widths, partStarts, from, to); err != nil {
			return fmt.Errorf("delete %d parts of rows: %w", len(gone), err)
		}
	}
	if added == 0 {
		return nil
	}
	if err := copyIn(ctx, tx.Conn(), *b, copyParts); err != nil {
		return fmt.Errorf("write %d parts of rows: %w", added, err)
	}
	return nil
}

func (b *copyBuffer) part(k RowKey, p *gold.Part) {
	b.row(partColumns)
	b.int8(k.SeriesID)
	b.time(k.Start)
	b.int4(int32(k.Width / time.Second))
	b.time(p.Start)
	b.int4(int32(p.Width / time.Second))
	b.versions(p.Start, p.Versions)
}

// versions writes the columns samples and stamps, and returns where they stand in the
// buffer.
func (b *copyBuffer) versions(start int64, versions []gold.Version) (samples, stamps []byte) {
	at := b.open()
	*b = gold.AppendSamples(*b, start, versions)
	b.close(at)
	samples = (*b)[at:]
	at = b.open()
	*b = gold.AppendStamps(*b, start, versions)
	b.close(at)
	return samples, (*b)[at:]
}

// loadVersions completes rows whose versions are stored in parts.
func loadVersions(ctx context.Context, tx pgx.Tx, rows map[RowKey]*row) error {
	if len(rows) == 0 {
		return nil
	}
	keys := make([]RowKey, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	ids, starts, widths := keyColumns(keys)
	from, to := spanOf(keys)
	read := ReadTx{tx: tx}
	err := read.each(ctx, loadParts, []any{ids, starts, widths, from, to}, func(f *fields) error {
		r := rows[f.key()]
		return f.appendVersions(r.key, &r.versions)
	})
	if err != nil {
		return fmt.Errorf("load the parts of %d rows: %w", len(rows), err)
	}
	return nil
}

// appendVersions reads the start, the samples and the stamps of what is stored
// as one, a row or a part of it.
func (f *fields) appendVersions(k RowKey, to *[]gold.Version) error {
	start, samples, stamps := f.nanos(), f.bytes(), f.bytes()
	if err := f.err(); err != nil {
		return err
	}
	versions, err := gold.Decode(start, samples, stamps)
	if err != nil {
		return fmt.Errorf("row of series %d at %d, from %d on: %w", k.SeriesID, k.Start, start, err)
	}
	if len(*to) == 0 {
		*to = versions
	} else {
		*to = append(*to, versions...)
	}
	return nil
}

// spanOf returns the first and the last start of keys, of which there are some.
func spanOf(keys []RowKey) (from, to time.Time) {
	first, last := keys[0].Start, keys[0].Start
	for i := range keys {
		first, last = min(first, keys[i].Start), max(last, keys[i].Start)
	}
	return timestamp(first), timestamp(last)
}
