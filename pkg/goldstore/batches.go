package goldstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// BatchState is how a batch run stands.
type BatchState string

// The states. One that was killed stays running.
const (
	BatchRunning BatchState = "running"
	BatchStopped BatchState = "stopped"
	BatchDone    BatchState = "done"
	BatchFailed  BatchState = "failed"
)

// BatchRecord is the record of a batch run.
type BatchRecord struct {
	ID          string
	Kind        string // "merge", "rebuild" or "plan"
	State       BatchState
	Selection   json.RawMessage // what the run replays
	Counts      BatchCounts
	Changes     BatchTally
	Timings     map[string]float64 // seconds by step, over all times that it was at work
	CodeVersion string
	Epoch       uint64 // newest of the catalogue when it began
	Error       string // why it failed; empty otherwise
	StartedAt   time.Time
	FinishedAt  time.Time // zero until it is done
}

// BatchCounts is what a batch run has read.
type BatchCounts struct {
	Messages map[string]uint64 `json:"messages,omitempty"` // by stream
	Readings uint64            `json:"readings,omitempty"` // taken in
	Versions uint64            `json:"versions,omitempty"` // selected judgements of them
	Refused  map[string]uint64 `json:"refused,omitempty"`  // selected refusals, by stage and rule: "silver out_of_range"
}

// BatchTally is what a batch run has done to gold, or would do.
type BatchTally struct {
	Inserted  uint64 `json:"inserted,omitempty"`  // rows
	Updated   uint64 `json:"updated,omitempty"`   // rows
	Unchanged uint64 `json:"unchanged,omitempty"` // rows
	Added     uint64 `json:"added,omitempty"`     // versions
	Removed   uint64 `json:"removed,omitempty"`   // versions
	Limited   uint64 `json:"limited,omitempty"`   // versions that a row does not take
}

// Add adds what a flush did.
func (t *BatchTally) Add(r *Result) {
	t.Inserted += uint64(r.Inserted)
	t.Updated += uint64(r.Updated)
	t.Unchanged += uint64(r.Unchanged)
	t.Added += uint64(r.Added)
	t.Removed += uint64(r.Removed)
}

// Sum adds another tally.
func (t *BatchTally) Sum(u BatchTally) {
	t.Inserted += u.Inserted
	t.Updated += u.Updated
	t.Unchanged += u.Unchanged
	t.Added += u.Added
	t.Removed += u.Removed
	t.Limited += u.Limited
}

// BatchPart is how far a batch run is in one partition.
type BatchPart struct {
	Partition int
	At        RowKey // the last row; the width is not kept
	Tally     BatchTally
}

// BatchMove takes a part from one row to another. Like a position it is moved in the
// transaction of a flush, and only if it stands at From.
type BatchMove struct {
	Batch     string
	Partition int
	From, To  RowKey
	Tally     BatchTally // up to From; what the flush does is added
}

// ErrNoBatch says that there is no batch run of an id.
var ErrNoBatch = errors.New("there is no such batch")

const (
	insertBatch = `
INSERT INTO gold.batches (id, kind, selection, code_version, epoch, started_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING`
	insertBatchParts = `
INSERT INTO gold.batch_parts (batch, partition, series_id, start_ns)
SELECT $1, p, -1, 0 FROM generate_series(0, $2 - 1) AS p
ON CONFLICT DO NOTHING`
	updateBatch = `
UPDATE gold.batches SET state = $2, counts = $3, changes = $4, timings = $5, error = nullif($6, ''),
	finished_at = CASE WHEN $2 = 'done' THEN now() END
WHERE id = $1`
	moveBatch = `
UPDATE gold.batch_parts SET series_id = $3, start_ns = $4, tally = $5
WHERE batch = $1 AND partition = $2 AND series_id = $6 AND start_ns = $7`
	selectBatches = `
SELECT id, kind, state, selection, counts, changes, timings, code_version, epoch, coalesce(error, ''),
	started_at, finished_at
FROM gold.batches WHERE ($1 = '' OR id = $1) ORDER BY started_at DESC, id LIMIT nullif($2::bigint, 0)`
	selectBatchParts = `
SELECT partition, series_id, start_ns, tally FROM gold.batch_parts WHERE batch = $1 ORDER BY partition`
)

// CreateBatch stores the record of a run that begins, with a part for each partition. It
// may be called again: what is there stays.
func (s *Store) CreateBatch(ctx context.Context, b *BatchRecord, partitions int) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, insertBatch, b.ID, b.Kind, b.Selection, b.CodeVersion, int64(b.Epoch), b.StartedAt)
		if err == nil {
			_, err = tx.Exec(ctx, insertBatchParts, b.ID, partitions)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("create batch %s: %w", b.ID, missingTable(err))
	}
	return nil
}

// UpdateBatch stores state, counts, changes, timings and error of a run.
func (s *Store) UpdateBatch(ctx context.Context, b *BatchRecord) error {
	if b.Timings == nil {
		b.Timings = make(map[string]float64)
	}
	_, err := s.pool.Exec(ctx, updateBatch, b.ID, string(b.State), b.Counts, b.Changes, b.Timings, b.Error)
	if err != nil {
		return fmt.Errorf("update batch %s: %w", b.ID, err)
	}
	return nil
}

// Batch returns the record of a run, ErrNoBatch when there is none.
func (tx *ReadTx) Batch(ctx context.Context, id string) (BatchRecord, error) {
	records, err := tx.batches(ctx, id, 1)
	if err == nil && len(records) == 0 {
		err = fmt.Errorf("batch %q: %w", id, ErrNoBatch)
	}
	if err != nil {
		return BatchRecord{}, err
	}
	return records[0], nil
}

// Batches returns the latest records first, at most so many; 0 is all.
func (tx *ReadTx) Batches(ctx context.Context, limit uint32) ([]BatchRecord, error) {
	return tx.batches(ctx, "", limit)
}

func (tx *ReadTx) batches(ctx context.Context, id string, limit uint32) ([]BatchRecord, error) {
	rows, err := tx.tx.Query(ctx, selectBatches, id, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("read batches: %w", err)
	}
	records, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b BatchRecord, err error) {
		var epoch int64
		var state string
		var finished *time.Time
		err = row.Scan(&b.ID, &b.Kind, &state, &b.Selection, &b.Counts, &b.Changes, &b.Timings, &b.CodeVersion, &epoch,
			&b.Error, &b.StartedAt, &finished)
		if b.State, b.Epoch = BatchState(state), uint64(epoch); finished != nil {
			b.FinishedAt = *finished
		}
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("read batches: %w", err)
	}
	// What a run that is not done has changed so far is with its parts.
	for i := range records {
		if b := &records[i]; b.State != BatchDone {
			parts, err := tx.BatchParts(ctx, b.ID)
			if err != nil {
				return nil, err
			}
			b.Changes = BatchTally{}
			for _, p := range parts {
				b.Changes.Sum(p.Tally)
			}
		}
	}
	return records, nil
}

// BatchParts returns how far a run is, by partition.
func (tx *ReadTx) BatchParts(ctx context.Context, id string) ([]BatchPart, error) {
	rows, err := tx.tx.Query(ctx, selectBatchParts, id)
	if err != nil {
		return nil, fmt.Errorf("read the parts of batch %s: %w", id, err)
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p BatchPart, err error) {
		var partition int32
		err = row.Scan(&partition, &p.At.SeriesID, &p.At.Start, &p.Tally)
		p.Partition = int(partition)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the parts of batch %s: %w", id, err)
	}
	return parts, nil
}

// moveBatch moves the part of a batch run behind what was written.
func (t *transaction) moveBatch(ctx context.Context, tx pgx.Tx, result *Result) error {
	m := t.flush.Batch
	if m == nil {
		return nil
	}
	tally := m.Tally
	tally.Add(result)
	tag, err := tx.Exec(ctx, moveBatch, m.Batch, int32(m.Partition), m.To.SeriesID, m.To.Start, tally,
		m.From.SeriesID, m.From.Start)
	if err == nil && tag.RowsAffected() != 1 {
		err = ErrPositionMoved
	}
	if err != nil {
		return fmt.Errorf("move batch %s in partition %d: %w", m.Batch, m.Partition, err)
	}
	return nil
}
