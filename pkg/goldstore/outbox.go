package goldstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// OutboxEntry is a feed message that was committed and is to be published.
type OutboxEntry struct {
	ID        int64
	Partition uint32
	Subject   string
	Payload   []byte
	Headers   map[string]string // nil when there are none
	CreatedAt time.Time         // zero in a flush's result
}

const (
	nextOutbox   = `SELECT nextval(pg_get_serial_sequence('gold.outbox', 'id'))`
	insertOutbox = `
INSERT INTO gold.outbox (id, partition, subject, payload, headers)
OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5)`
	// The sum runs over the entries before, so that at least one is returned.
	pendingOutbox = `
SELECT id, partition, subject, payload, headers, created_at FROM (
	SELECT *, sum(length(payload)) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes
	FROM (SELECT * FROM gold.outbox WHERE partition = $1 ORDER BY id LIMIT 1000) AS oldest
) AS entries
WHERE coalesce(bytes, 0) < 16777216
ORDER BY id`
	// A deletion that a crash undoes is published again, which the feed's
	// readers bear: no reason to wait for the disk.
	deleteOutbox = `
WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
DELETE FROM gold.outbox USING relaxed WHERE id = ANY($1)`
)

// PendingOutbox returns the oldest entries of a partition that were not
// deleted, in order of their ids: at most 1,000, and none after 16 MiB. Call it
// again after deleting them, until there is none.
func (s *Store) PendingOutbox(ctx context.Context, partition uint32) ([]OutboxEntry, error) {
	rows, err := s.pool.Query(ctx, pendingOutbox, int32(partition))
	if err != nil {
		return nil, fmt.Errorf("read the outbox of partition %d: %w", partition, missingTable(err))
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e OutboxEntry, err error) {
		var p int32
		err = row.Scan(&e.ID, &p, &e.Subject, &e.Payload, &e.Headers, &e.CreatedAt)
		e.Partition = uint32(p)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the outbox of partition %d: %w", partition, missingTable(err))
	}
	return entries, nil
}

// DeleteOutbox forgets entries that were published. Ids that are not there do
// no harm.
func (s *Store) DeleteOutbox(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := s.pool.Exec(ctx, deleteOutbox, ids); err != nil {
		return fmt.Errorf("delete %d outbox entries from id %d on: %w", len(ids), ids[0], err)
	}
	return nil
}
