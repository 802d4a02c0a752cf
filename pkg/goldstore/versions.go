package goldstore

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// VersionsRow is the versions of a base row, normalized.
type VersionsRow struct {
	RowKey
	Versions []gold.Version
}

// Span is a time of a series, [From, To) in Unix ns.
type Span struct {
	ID       int64 // of the series
	From, To int64
}

const (
	// Of a row that is stored in parts, a row of the answer each. OFFSET 0 keeps
	// them from being looked for where there are none.
	setColumns = `b.series_id, b.start, b.width,
	coalesce(p.part_start, b.start), coalesce(p.samples, b.samples), coalesce(p.stamps, b.stamps)`
	partsOfRow = `SELECT part_start, samples, stamps FROM gold.parts
	WHERE octet_length(b.samples) = 0 AND series_id = b.series_id AND start = b.start AND width = b.width`

	// $4 and $5 are the ends of all spans: constants, by which the planner leaves out
	// partitions.
	selectSets = `
SELECT s.n, ` + setColumns + `
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS s(id, since, until, n)
CROSS JOIN LATERAL (SELECT * FROM gold.base WHERE series_id = s.id
	AND start > s.since AND start <= s.until AND start > $4 AND start <= $5 OFFSET 0) AS b
LEFT JOIN LATERAL (` + partsOfRow + ` AND start > $4 AND start <= $5 OFFSET 0) AS p ON true
ORDER BY s.n, b.start, b.width, p.part_start`
)

// VersionRows calls fn for each row that overlaps a span, with the place of the span:
// the rows of one span after those of the one before, by start and width. Rows are
// streamed. An error of fn ends the snapshot and is returned.
func (tx *ReadTx) VersionRows(ctx context.Context, spans []Span, fn func(i int, r *VersionsRow) error) error {
	if len(spans) == 0 {
		return nil
	}
	since := column(spans, func(s *Span) int64 { return max(s.From, math.MinInt64+int64(maxWidth)) - int64(maxWidth) })
	all := timeSpan{math.MaxInt64, math.MinInt64}
	for i := range spans {
		all.from, all.to = min(all.from, since[i]), max(all.to, spans[i].To)
	}
	arguments := []any{
		column(spans, func(s *Span) int64 { return s.ID }), column(since, func(t *int64) time.Time { return timestamp(*t) }),
		column(spans, func(s *Span) time.Time { return timestamp(s.To) }), timestamp(all.from), timestamp(all.to),
	}
	err := tx.eachSet(ctx, selectSets, arguments, func(i int, r *VersionsRow) error {
		if !r.overlaps(spans[i].From, spans[i].To) {
			return nil
		}
		return fn(i, r)
	})
	if err != nil {
		return fmt.Errorf("read versions of %d spans: %w", len(spans), err)
	}
	return nil
}

// eachSet runs a query for a number that counts from 1 and setColumns. It calls fn
// for each row, put together of its parts.
func (tx *ReadTx) eachSet(
	ctx context.Context, sql string, arguments []any, fn func(i int, r *VersionsRow) error,
) error {
	var r *VersionsRow
	last := 0
	err := tx.each(ctx, sql, arguments, func(f *fields) error {
		i := int(f.int8()) - 1
		if k := f.key(); r == nil || r.RowKey != k || last != i {
			if r != nil {
				if err := fn(last, r); err != nil {
					return err
				}
			}
			r, last = &VersionsRow{RowKey: k}, i
		}
		return f.appendVersions(r.RowKey, &r.Versions)
	})
	if err != nil || r == nil {
		return err
	}
	return fn(last, r)
}

const (
	selectNearestSets = `
SELECT k.n, ` + setColumns + `
FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY AS k(id, at, n)
CROSS JOIN LATERAL (SELECT * FROM gold.base
	WHERE series_id = k.id AND start >= $3 AND start < $4 AND start %s LIMIT $5) AS b
LEFT JOIN LATERAL (` + partsOfRow + ` AND start >= $3 AND start < $4 OFFSET 0) AS p ON true
ORDER BY k.n, b.start %s, b.width %[2]s, p.part_start`
)

var (
	selectSetsFrom   = fmt.Sprintf(selectNearestSets, ">= k.at ORDER BY start, width", "ASC")
	selectSetsBefore = fmt.Sprintf(selectNearestSets, "< k.at ORDER BY start DESC, width DESC", "DESC")
)

// VersionsFrom returns for each place at most so many rows in the order of time,
// from those that start there on.
func (tx *ReadTx) VersionsFrom(ctx context.Context, places []Place, limit int) ([][]VersionsRow, error) {
	return tx.nearestSets(ctx, selectSetsFrom, places, limit)
}

// VersionsBefore returns for each place at most so many rows that start before it,
// from the last one back.
func (tx *ReadTx) VersionsBefore(ctx context.Context, places []Place, limit int) ([][]VersionsRow, error) {
	return tx.nearestSets(ctx, selectSetsBefore, places, limit)
}

func (tx *ReadTx) nearestSets(ctx context.Context, sql string, places []Place, limit int) ([][]VersionsRow, error) {
	rows := make([][]VersionsRow, len(places))
	if len(places) == 0 {
		return rows, nil
	}
	err := tx.eachSet(ctx, sql, append(placeArguments(places), limit), func(i int, r *VersionsRow) error {
		rows[i] = append(rows[i], *r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read versions near %d places: %w", len(places), err)
	}
	return rows, nil
}
