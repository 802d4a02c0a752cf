package goldstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/reading"
)

// SeriesID returns the id of a series: the first 63 bits of the SHA-256 over
// its fields, each preceded by its length in 8 bytes, big endian.
func SeriesID(s reading.Series) int64 {
	var buf [192]byte
	b := buf[:0]
	for _, field := range [...]string{s.EntityID, s.Metric, s.Unit} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(field)))
		b = append(b, field...)
	}
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

// maxKnownSeries bounds the series that a writer remembers. At the bound all
// are forgotten, which costs one look into the database each.
const maxKnownSeries = 1 << 16

// Inserting in id order makes concurrent writers wait for each other instead of
// deadlocking. A conflict is no error here: it is either the series itself or a
// collision, which storedSeries tells.
const (
	insertSeries = `
INSERT INTO gold.series (id, entity, metric, unit)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS s(id, entity, metric, unit)
ORDER BY id
ON CONFLICT DO NOTHING`
	storedSeries = `SELECT id, entity, metric, unit FROM gold.series WHERE id = ANY($1)`
)

// addSeries stores the series of wanted that are missing. It returns
// *CollisionError when an id of wanted belongs to another series.
func addSeries(ctx context.Context, tx pgx.Tx, wanted map[int64]reading.Series) error {
	ids := slices.Sorted(maps.Keys(wanted))
	entities := make([]string, len(ids))
	metrics := make([]string, len(ids))
	units := make([]string, len(ids))
	for i, id := range ids {
		s := wanted[id]
		entities[i], metrics[i], units[i] = s.EntityID, s.Metric, s.Unit
	}
	if _, err := tx.Exec(ctx, insertSeries, ids, entities, metrics, units); err != nil {
		return fmt.Errorf("insert %d series from %s on: %w", len(ids), wanted[ids[0]], err)
	}
	// A new statement sees what a concurrent writer has committed meanwhile.
	rows, err := tx.Query(ctx, storedSeries, ids)
	if err != nil {
		return fmt.Errorf("read %d series: %w", len(ids), err)
	}
	var (
		id    int64
		s     reading.Series
		found int
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &s.EntityID, &s.Metric, &s.Unit}, func() error {
		found++
		if s != wanted[id] {
			return &CollisionError{ID: id, Stored: s, Wanted: wanted[id]}
		}
		return nil
	})
	if err == nil && found != len(ids) {
		// The natural key is there under another id: the hash has changed.
		err = fmt.Errorf("%d of %d are stored with other ids than SeriesID gives", len(ids)-found, len(ids))
	}
	if err != nil {
		return fmt.Errorf("read %d series: %w", len(ids), err)
	}
	return nil
}
