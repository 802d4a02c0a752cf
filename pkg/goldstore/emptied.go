package goldstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A row without versions is no row: equal sets have equal content, whatever was in
// them once. Only a rebuild leaves such rows. Their revision begins anew should they
// ever come back.

// The guard and the bounds are those of the upsert and of loading.
const deleteBase = `
DELETE FROM gold.base b
USING unnest($1::bigint[], $2::timestamptz[], $3::integer[], $4::bigint[]) AS k(series_id, start, width, revision)
WHERE b.series_id = k.series_id AND b.start = k.start AND b.width = k.width AND b.revision = k.revision
	AND b.start BETWEEN $5 AND $6
RETURNING b.series_id, b.start, b.width`

// bring brings rows to what they are to become and returns the items of those that
// are not as expected.
func (w *Writer) bring(ctx context.Context, tx pgx.Tx, items []*item) (unwritten []*item, err error) {
	var filled, emptied []*item
	for _, it := range items {
		if len(it.after.versions) > 0 {
			filled = append(filled, it)
		} else {
			emptied = append(emptied, it)
		}
	}
	if len(filled) > 0 {
		if unwritten, err = w.upsert(ctx, tx, filled); err != nil {
			return nil, err
		}
	}
	if len(emptied) == 0 {
		return unwritten, nil
	}
	standing, err := w.remove(ctx, tx, emptied)
	return append(unwritten, standing...), err
}

// remove deletes rows that have lost all their versions.
func (w *Writer) remove(ctx context.Context, tx pgx.Tx, items []*item) (standing []*item, err error) {
	keys := column(items, func(it **item) RowKey { return (*it).key })
	ids, starts, widths := keyColumns(keys)
	from, to := spanOf(keys)
	revisions := column(items, func(it **item) int64 { return (*it).before.revision })
	rows, err := tx.Query(ctx, deleteBase, ids, starts, widths, revisions, from, to)
	gone := make(map[RowKey]struct{}, len(items))
	if err == nil {
		for rows.Next() {
			f := fields{values: rows.RawValues()}
			gone[f.key()] = struct{}{}
			if err := f.err(); err != nil {
				rows.Close()
				return nil, fmt.Errorf("remove %d emptied rows: %w", len(items), err)
			}
		}
		err = rows.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("remove %d emptied rows from %s on: %w", len(items), items[0], err)
	}
	for _, it := range items {
		if _, ok := gone[it.key]; !ok {
			standing = append(standing, it)
		}
	}
	return standing, nil
}
