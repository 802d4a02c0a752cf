package goldstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

// extent is where the rows of a series are at most. It is kept with the series and
// only grows: a row that is no more costs time, not truth.
type extent struct {
	// reach is how far a reading reaches beyond the start of its row, where it
	// reaches beyond its end: who reads a window has to look back as far. 0 while
	// each reading ends in its row.
	reach int64
	// first and last are the weeks of the first and the last row; see monday.
	first, last int64
}

// grow returns the extent of both.
func (e extent) grow(f extent) extent {
	return extent{max(e.reach, f.reach), min(e.first, f.first), max(e.last, f.last)}
}

// maxParentReach bounds the reach of series whose days are folded: the readings of
// others cover more than the day that would spare them.
const maxParentReach = gold.DaySpan

// Updates wait for each other by the series' rows, in any order: who is
// sacrificed to a deadlock flushes again.
const extendSeries = `
UPDATE gold.series AS s
SET reach_ns = greatest(s.reach_ns, e.reach),
	first_week = least(s.first_week, e.first), last_week = greatest(s.last_week, e.last)
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS e(id, reach, first, last)
WHERE s.id = e.id AND (s.reach_ns < e.reach OR s.first_week IS NULL OR s.first_week > e.first OR s.last_week < e.last)`

// extend keeps where rows of the flush are if that is beyond what the writer knows
// to be kept.
func (t *transaction) extend(ctx context.Context, tx pgx.Tx) error {
	t.extents = make(map[int64]extent)
	for i := range t.items {
		it := &t.items[i]
		week := monday(it.key.Start)
		e := extent{0, week, week}
		if it.after != nil && it.after.stats.Reach > it.key.Start+int64(it.key.Width) {
			e.reach = it.after.stats.Reach - it.key.Start
		}
		id := it.key.SeriesID
		kept, known := t.writer.extents[id]
		if fresh, ok := t.extents[id]; ok {
			kept, known = fresh, true
		}
		if grown := kept.grow(e); !known {
			t.extents[id] = e
		} else if grown != kept {
			t.extents[id] = grown
		}
	}
	if len(t.extents) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(t.extents))
	reaches := column(ids, func(id *int64) int64 { return t.extents[*id].reach })
	first := column(ids, func(id *int64) time.Time { return timestamp(t.extents[*id].first) })
	last := column(ids, func(id *int64) time.Time { return timestamp(t.extents[*id].last) })
	if _, err := tx.Exec(ctx, extendSeries, ids, reaches, first, last); err != nil {
		return fmt.Errorf("keep where rows of %d series are: %w", len(ids), err)
	}
	return nil
}

// Columns of rows for a gold.Spread. Versions come only with rows that need
// them: where readings overlap, or a window's bound cuts the base window. Earlier
// rows must be in the same set for the former.
const (
	spreadColumns = `start, width, ` + statsColumns + `, ` + standingColumns + `, revision, changed_at`
	spreadBase    = `(SELECT *, max(reach_ns) OVER (ORDER BY start, width
	ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_ns FROM gold.base WHERE `
	tangled = `overlapping > 0 OR first_at_ns < before_ns AND before_ns <= last_at_ns`
	// The parts of a row that is stored in parts come in the place of its stamps:
	// of each the start, and its samples and stamps behind their lengths.
	versionColumns = `CASE WHEN needed THEN samples END, CASE WHEN needed THEN
	CASE WHEN octet_length(samples) > 0 THEN stamps ELSE (
		SELECT string_agg(timestamptz_send(p.part_start) || int4send(octet_length(p.samples)) || p.samples
			|| int4send(octet_length(p.stamps)) || p.stamps, '' ORDER BY p.part_start)
		FROM gold.parts p WHERE p.series_id = b.series_id AND p.start = b.start AND p.width = b.width) END END`
)

// spreadRow is a row with its versions if it was asked for with them.
type spreadRow struct {
	gold.Stored
	versions []gold.Version
}

// summarize makes the row's summary of its statistics; it has the standing and
// the bookkeeping.
func (r *spreadRow) summarize(m *catalog.Metric, p gold.Partial) {
	old := r.Summary
	r.Summary = gold.Summarize(m, r.Start, r.Width, p)
	r.Standing, r.Revision, r.Changed = old.Standing, old.Revision, old.Changed
}

// spreadRow reads spreadColumns and versionColumns.
func (f *fields) spreadRow() (row spreadRow, stats gold.Partial, err error) {
	row.Start, row.Width = f.nanos(), time.Duration(f.int4())*time.Second
	f.stats(&stats)
	f.standing(&row.Standing)
	row.Revision, row.Changed = f.int8(), f.time()
	samples, stamps := f.bytes(), f.bytes()
	if err := f.err(); err != nil || samples == nil {
		return row, stats, err
	}
	if len(samples) > 0 {
		row.versions, err = gold.Decode(row.Start, samples, stamps)
	} else {
		row.versions, err = decodeParts(stamps)
	}
	if err != nil {
		return row, stats, fmt.Errorf("row at %d: %w", row.Start, err)
	}
	return row, stats, nil
}

// decodeParts decodes the parts of a row as versionColumns has them.
func decodeParts(parts []byte) (versions []gold.Version, err error) {
	for rest := parts; len(rest) > 0; {
		var f fields
		for _, fixed := range [...]bool{true, false, false} {
			n := 8
			if !fixed {
				if len(rest) < 4 {
					return nil, errFormat
				}
				n, rest = int(binary.BigEndian.Uint32(rest)), rest[4:]
			}
			if n > len(rest) {
				return nil, errFormat
			}
			f.values, rest = append(f.values, rest[:n]), rest[n:]
		}
		start, samples, stamps := f.nanos(), f.bytes(), f.bytes()
		part, err := gold.Decode(start, samples, stamps)
		if err != nil {
			return nil, fmt.Errorf("part at %d: %w", start, err)
		}
		versions = append(versions, part...)
	}
	return versions, nil
}
