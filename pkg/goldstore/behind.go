package goldstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

const requireEpoch = `
INSERT INTO gold.generations (partition, generation, epoch) VALUES ($1, 0, $2)
ON CONFLICT (partition) DO UPDATE SET epoch = greatest(generations.epoch, excluded.epoch)`

// RequireEpoch makes flushes of a partition by writers of an earlier epoch fail
// with ErrCatalogBehind from now on: who finds the rows that are behind
// afterwards finds them all.
func (s *Store) RequireEpoch(ctx context.Context, partition uint32, epoch uint64) error {
	var b pgx.Batch
	b.Queue(lockRoll, int32(lockClass), int32(partition))
	b.Queue(requireEpoch, int32(partition), int64(epoch))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() })
	if err != nil {
		return fmt.Errorf("require epoch %d of partition %d: %w", epoch, partition, missingTable(err))
	}
	return nil
}

const (
	selectBehind = `
SELECT start, width FROM gold.base
WHERE series_id = $1 AND epoch < $2 AND start > $3 ORDER BY start FETCH FIRST $4 ROWS WITH TIES`
	countBehind = `
SELECT count(*) FROM unnest($1::text[], $2::bigint[]) AS m(name, epoch)
JOIN gold.series s ON s.metric = m.name
JOIN gold.base b ON b.series_id = s.id AND b.epoch < m.epoch`
)

// Behind returns up to limit rows of a series that start later than after, in
// Unix ns, and whose statistics follow earlier parameters than c's: in key
// order, as groups without versions. A flush of them computes these rows anew.
// Of rows with one start it returns all.
func (s *Store) Behind(
	ctx context.Context, c *catalog.Catalog, series Series, after int64, limit int,
) ([]gold.Group, error) {
	folded := int64(c.Metric(series.Series).Folded)
	rows, err := s.pool.Query(ctx, selectBehind, series.ID, folded, timestamp(after), limit)
	if err != nil {
		return nil, fmt.Errorf("read rows of %s that are behind: %w", series.Series, err)
	}
	groups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g gold.Group, err error) {
		var (
			start time.Time
			width int32
		)
		err = row.Scan(&start, &width)
		g.Key = gold.Key{Series: series.Series, Start: start.UnixNano(), Width: time.Duration(width) * time.Second}
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("read rows of %s that are behind: %w", series.Series, err)
	}
	slices.SortFunc(groups, func(a, b gold.Group) int { return a.Key.Compare(b.Key) })
	return groups, nil
}

// CountBehind returns the number of rows of metrics whose statistics follow
// earlier parameters than c's.
func (tx *ReadTx) CountBehind(ctx context.Context, c *catalog.Catalog, metrics []string) (n uint64, err error) {
	var count int64
	err = tx.tx.QueryRow(ctx, countBehind, metrics, column(metrics, func(name *string) int64 {
		return int64(c.Folded(*name))
	})).Scan(&count)
	if err != nil {
		return 0, fmt.Errorf("count rows that are behind: %w", err)
	}
	return uint64(count), nil
}
