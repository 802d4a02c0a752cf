package goldstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/reading"
)

// QuarantineRow is a reading that a rule of a stage refused. Stamp, Stage,
// Rule and Epoch identify it.
type QuarantineRow struct {
	Stamp   reading.Stamp
	Stage   string // "ingest" or "silver"
	Rule    string // the first rule that fired
	Epoch   uint64
	Rules   reading.Rules
	Reading reading.Reading // as far as it could be decoded
	Detail  string          // for people
	Payload []byte          // where it could not be decoded
}

// QuarantineCount is the number of open rows of a stage and rule.
type QuarantineCount struct {
	Stage, Rule string
	Open        uint64
}

// Sorted by key, so that concurrent projections wait for each other instead of
// deadlocking.
const insertQuarantine = `
INSERT INTO gold.quarantine (received_ns, stream, sequence, index, stage, rule, epoch, rules,
	entity, metric, unit, event_at_ns, value, quality, revision, length_ns, detail, payload,
	exchange_start)
SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o::numeric, p, q, r, s
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
	$9::text[], $10::text[], $11::text[], $12::bigint[], $13::double precision[], $14::smallint[], $15::text[],
	$16::bigint[], $17::text[], $18::bytea[], $19::double precision[])
	AS q(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s)
ORDER BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT DO NOTHING`

// ProjectQuarantine stores rows and moves the position of their stream in one
// transaction. Rows that are there already stay as they are, with their state.
// Texts are stored with NUL and invalid UTF-8 replaced by U+FFFD. It returns
// ErrPositionMoved as Flush does.
func (s *Store) ProjectQuarantine(ctx context.Context, move PositionMove, rows []QuarantineRow) error {
	if err := move.check(); err != nil {
		return err
	}
	var b pgx.Batch
	move.queue(&b)
	if len(rows) > 0 {
		b.Queue(insertQuarantine, quarantineColumns(rows)...)
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() })
	if err != nil {
		return fmt.Errorf("project %d quarantined readings: %w", len(rows), missingTable(err))
	}
	return nil
}

// quarantineColumns returns the arguments of insertQuarantine.
func quarantineColumns(rows []QuarantineRow) []any {
	return []any{
		column(rows, func(r *QuarantineRow) int64 { return r.Stamp.Received }),
		column(rows, func(r *QuarantineRow) int64 { return int64(r.Stamp.Stream) }),
		column(rows, func(r *QuarantineRow) int64 { return int64(r.Stamp.Sequence) }),
		column(rows, func(r *QuarantineRow) int64 { return int64(r.Stamp.Index) }),
		column(rows, func(r *QuarantineRow) string { return storable(r.Stage) }),
		column(rows, func(r *QuarantineRow) string { return storable(r.Rule) }),
		column(rows, func(r *QuarantineRow) int64 { return int64(r.Epoch) }),
		column(rows, func(r *QuarantineRow) int64 { return int64(r.Rules) }),
		column(rows, func(r *QuarantineRow) string { return storable(r.Reading.EntityID) }),
		column(rows, func(r *QuarantineRow) string { return storable(r.Reading.Metric) }),
		column(rows, func(r *QuarantineRow) string { return storable(r.Reading.Unit) }),
		column(rows, func(r *QuarantineRow) int64 { return r.Reading.Time }),
		column(rows, func(r *QuarantineRow) float64 { return r.Reading.Value }),
		column(rows, func(r *QuarantineRow) int16 { return int16(r.Reading.Quality) }),
		column(rows, func(r *QuarantineRow) string { return strconv.FormatUint(r.Reading.Revision, 10) }),
		column(rows, func(r *QuarantineRow) int64 { return int64(r.Reading.Length) }),
		column(rows, func(r *QuarantineRow) string { return storable(r.Detail) }),
		column(rows, func(r *QuarantineRow) []byte { return r.Payload }),
		column(rows, func(r *QuarantineRow) *float64 {
			if !r.Reading.Exchange {
				return nil
			}
			return &r.Reading.ExchangeStart
		}),
	}
}

func column[R, T any](rows []R, of func(*R) T) []T {
	out := make([]T, len(rows))
	for i := range rows {
		out[i] = of(&rows[i])
	}
	return out
}

// storable returns s as Postgres can store it.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
