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

// QuarantineDecision is what became of a reading that a stage refused.
type QuarantineDecision struct {
	Stamp      reading.Stamp
	Stage      string // that had refused it
	Resolution reading.Resolution
	// Epoch is the one by which it is accepted, or that of the entry that was
	// discarded.
	Epoch uint64
	reading.Decision
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

// Of several decisions of one key the first is kept.
const insertDecisions = `
INSERT INTO gold.quarantine_decisions AS d (received_ns, stream, sequence, index, stage, resolution, epoch,
	decided_at_ns, person, reason)
SELECT DISTINCT ON (a, b, c, d, e, f, g) a, b, c, d, e, f, g, h, i, j
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::smallint[], $7::bigint[],
	$8::bigint[], $9::text[], $10::text[]) AS q(a, b, c, d, e, f, g, h, i, j)
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, i COLLATE "C", j COLLATE "C"
ON CONFLICT (received_ns, stream, sequence, index, stage, resolution, epoch) DO UPDATE
SET decided_at_ns = excluded.decided_at_ns, person = excluded.person, reason = excluded.reason
WHERE (excluded.decided_at_ns, excluded.person, excluded.reason) < (d.decided_at_ns, d.person, d.reason)`

// States follow from all that is known of a reading. Of its entries by one stage
// the one of the latest epoch says how it stands: it is released if a waiver lets
// it pass under that epoch or a later one; otherwise it is judged again if rules do;
// otherwise discarded if somebody did that to any of its entries. Earlier entries
// are judged again.
const settleQuarantine = `
WITH touched AS (
	SELECT DISTINCT a AS received_ns, b AS stream, c AS sequence, d AS index
	FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS k(a, b, c, d)
), settled AS (
	SELECT q.received_ns, q.stream, q.sequence, q.index, q.stage, q.rule, q.epoch, s.*
	FROM touched JOIN gold.quarantine q USING (received_ns, stream, sequence, index)
	CROSS JOIN LATERAL (
		SELECT state, person, decided_at_ns, reason FROM (
			SELECT 1 AS rank, 'judged_again' AS state, NULL AS person, NULL::bigint AS decided_at_ns, NULL AS reason
			FROM gold.quarantine n
			WHERE (n.received_ns, n.stream, n.sequence, n.index, n.stage) =
				(q.received_ns, q.stream, q.sequence, q.index, q.stage) AND n.epoch > q.epoch
			UNION ALL
			SELECT CASE d.resolution WHEN 2 THEN 2 WHEN 1 THEN 3 ELSE 4 END,
				CASE d.resolution WHEN 2 THEN 'released' WHEN 1 THEN 'judged_again' ELSE 'discarded' END,
				CASE WHEN d.resolution <> 1 THEN d.person END, CASE WHEN d.resolution <> 1 THEN d.decided_at_ns END,
				CASE WHEN d.resolution <> 1 THEN d.reason END
			FROM gold.quarantine_decisions d
			WHERE (d.received_ns, d.stream, d.sequence, d.index, d.stage) =
				(q.received_ns, q.stream, q.sequence, q.index, q.stage) AND (d.resolution = 3 OR d.epoch >= q.epoch)
			UNION ALL
			SELECT 5, 'open', NULL, NULL, NULL
		) AS all_states
		ORDER BY rank, decided_at_ns, person COLLATE "C", reason COLLATE "C" LIMIT 1
	) AS s
)
UPDATE gold.quarantine q
SET state = s.state, person = s.person, decided_at_ns = s.decided_at_ns, reason = s.reason, changed_at = now()
FROM settled s
WHERE (q.received_ns, q.stream, q.sequence, q.index, q.stage, q.rule, q.epoch) =
	(s.received_ns, s.stream, s.sequence, s.index, s.stage, s.rule, s.epoch)
	AND (q.state, q.person, q.decided_at_ns, q.reason) IS DISTINCT FROM (s.state, s.person, s.decided_at_ns, s.reason)`

// ProjectQuarantine stores rows and what became of readings, computes the states of all
// that concerns these readings, and moves the position of their stream, in one
// transaction. States are a function of the rows and decisions stored so far
// (invariant 18). Texts are stored with NUL and invalid UTF-8 replaced by U+FFFD. It
// returns ErrPositionMoved as Flush does.
func (s *Store) ProjectQuarantine(
	ctx context.Context, move PositionMove, rows []QuarantineRow, decisions []QuarantineDecision,
) error {
	if err := move.check(); err != nil {
		return err
	}
	var b pgx.Batch
	move.queue(&b)
	queueQuarantine(&b, rows, decisions)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() })
	if err != nil {
		return fmt.Errorf("project %d quarantined readings and %d decisions: %w",
			len(rows), len(decisions), missingTable(err))
	}
	return nil
}

// queueQuarantine adds what stores rows and decisions to a batch.
func queueQuarantine(b *pgx.Batch, rows []QuarantineRow, decisions []QuarantineDecision) {
	if len(rows) > 0 {
		b.Queue(insertQuarantine, quarantineColumns(rows)...)
	}
	if len(decisions) > 0 {
		b.Queue(insertDecisions, decisionColumns(decisions)...)
	}
	stamps := column(rows, func(r *QuarantineRow) reading.Stamp { return r.Stamp })
	stamps = append(stamps, column(decisions, func(d *QuarantineDecision) reading.Stamp { return d.Stamp })...)
	if len(stamps) > 0 {
		b.Queue(settleQuarantine, stampColumns(stamps)...)
	}
}

// stampColumns returns stamps as columns: receive times, streams, sequences and
// indices.
func stampColumns(stamps []reading.Stamp) []any {
	return []any{
		column(stamps, func(s *reading.Stamp) int64 { return s.Received }),
		column(stamps, func(s *reading.Stamp) int64 { return int64(s.Stream) }),
		column(stamps, func(s *reading.Stamp) int64 { return int64(s.Sequence) }),
		column(stamps, func(s *reading.Stamp) int64 { return int64(s.Index) }),
	}
}

// decisionColumns returns the arguments of insertDecisions.
func decisionColumns(decisions []QuarantineDecision) []any {
	type decision = QuarantineDecision
	return append(stampColumns(column(decisions, func(d *decision) reading.Stamp { return d.Stamp })),
		column(decisions, func(d *decision) string { return storable(d.Stage) }),
		column(decisions, func(d *decision) int16 { return int16(d.Resolution) }),
		column(decisions, func(d *decision) int64 { return int64(d.Epoch) }),
		column(decisions, func(d *decision) int64 { return d.At }),
		column(decisions, func(d *decision) string { return storable(d.Person) }),
		column(decisions, func(d *decision) string { return storable(d.Reason) }),
	)
}

// quarantineColumns returns the arguments of insertQuarantine.
func quarantineColumns(rows []QuarantineRow) []any {
	return append(stampColumns(column(rows, func(r *QuarantineRow) reading.Stamp { return r.Stamp })),
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
	)
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
