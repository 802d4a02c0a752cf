package goldstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// RollerConfig bounds a roller.
type RollerConfig struct {
	// Quiet is how long a day must be over, and without a change, before its
	// parents are written; by the database's clock. With 0 it must be over.
	Quiet time.Duration
	// Days bounds the days of series that are written while the partition's
	// writers wait; 0 means 200.
	Days int
}

const defaultRollDays = 200

// Roller folds the days of one partition, and their hours. Folds are derived: they
// hold what the rows of gold.base say, or are marked as changed (invariant 13).
// It is not safe for concurrent use; any number of rollers of one partition,
// here or elsewhere, may run at the same time.
type Roller struct {
	store     *Store
	catalog   *catalog.Catalog
	partition uint32
	config    RollerConfig
}

// NewRoller returns a roller for a partition that folds under c.
func (s *Store) NewRoller(partition uint32, c *catalog.Catalog, rc RollerConfig) *Roller {
	if rc.Days <= 0 {
		rc.Days = defaultRollDays
	}
	return &Roller{store: s, catalog: c, partition: partition, config: rc}
}

// Rolled is what one call of Roll did.
type Rolled struct {
	Due     int           // days of series that were looked at; 0 when none was due
	Written int           // of them, with parents written
	Held    time.Duration // how long writers of the partition had to wait
}

const dueDays = `
SELECT c.day, c.series_id, s.entity, s.metric, s.unit
FROM gold.changed_days c JOIN gold.series s ON s.id = c.series_id
WHERE c.partition = $1 AND c.day <= now() - interval '1 day' - $2::interval AND c.touched_at <= now() - $2::interval
ORDER BY c.day, c.series_id LIMIT $3`

// Roll writes the parents of changed days that are over and quiet, oldest
// first, as many as the configuration allows in one transaction under the
// partition's exclusive lock. Call it again until none is due.
func (r *Roller) Roll(ctx context.Context) (Rolled, error) {
	due, err := r.due(ctx)
	if err != nil || len(due) == 0 {
		return Rolled{}, r.wrap(err)
	}
	t := newRolling(r, due)
	err = pgx.BeginTxFunc(ctx, r.store.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		return t.run(ctx, tx)
	})
	if err != nil {
		return Rolled{}, r.wrap(err)
	}
	return Rolled{Due: len(due), Written: len(t.rolled), Held: time.Since(t.locked)}, nil
}

func (r *Roller) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("roll partition %d: %w", r.partition, missingTable(err))
}

// dueDay is a changed day that is over.
type dueDay struct {
	seriesDay
	metric *catalog.Metric
}

func (r *Roller) due(ctx context.Context) ([]dueDay, error) {
	rows, err := r.store.pool.Query(ctx, dueDays, int32(r.partition), r.config.Quiet, r.config.Days)
	if err != nil {
		return nil, err
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d dueDay, err error) {
		var (
			s  reading.Series
			at time.Time
		)
		err = row.Scan(&at, &d.series, &s.EntityID, &s.Metric, &s.Unit)
		d.day, d.metric = at.UnixNano(), r.catalog.Metric(s)
		return d, err
	})
	return bounded(due), err
}

// rollRows bounds the base rows behind one transaction: 200 days of quarters of
// an hour.
const rollRows = 200 * 96

// bounded returns as many days, one at least, as are likely to have no more
// than rollRows rows.
func bounded(due []dueDay) []dueDay {
	rows := 0
	for i := range due {
		rows += int(gold.DaySpan / due[i].metric.Window)
		if rows > rollRows && i > 0 {
			return due[:i]
		}
	}
	return due
}
