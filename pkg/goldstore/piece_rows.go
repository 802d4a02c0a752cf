package goldstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// rowSpan is a part that is a span of rows, and the first row that it needs.
type rowSpan struct {
	*part
	ask   *Ask
	since int64
}

// rows reads the spans of rows that were laid down, those of neighbouring weeks at
// once: a query touches the partitions between the first and the last.
func (r *piecesReader) rows(ctx context.Context) error {
	var spans []rowSpan
	cut := make(map[int64]bool)
	for i := range r.asks {
		a := &r.asks[i]
		a.CutRows(cut)
		for j := range r.parts[i] {
			p := &r.parts[i][j]
			if !p.rows {
				continue
			}
			since := p.from
			if !a.Metric.Paired() {
				since -= max(int64(a.Series.Reach), int64(maxWidth))
			}
			spans = append(spans, rowSpan{p, a, since})
		}
	}
	slices.SortStableFunc(spans, func(a, b rowSpan) int { return cmp.Compare(a.since, b.since) })
	bounds := make([]time.Time, 0, len(cut))
	for start := range cut {
		bounds = append(bounds, timestamp(start))
	}
	for len(spans) > 0 {
		n, last := 1, spans[0].to
		for n < len(spans) && monday(spans[n].since) <= monday(last)+int64(week) {
			last = max(last, spans[n].to)
			n++
		}
		if err := r.readSpans(ctx, spans[:n], last, bounds); err != nil {
			return err
		}
		spans = spans[n:]
	}
	return nil
}

// readSpans reads spans, in the order of their first rows, up to last.
func (r *piecesReader) readSpans(ctx context.Context, spans []rowSpan, last int64, bounds []time.Time) error {
	arguments := []any{
		column(spans, func(s *rowSpan) int64 { return s.ask.Series.ID }),
		column(spans, func(s *rowSpan) time.Time { return ceilMicros(s.since) }),
		column(spans, func(s *rowSpan) time.Time { return ceilMicros(s.to) }),
		column(spans, func(s *rowSpan) time.Duration { return s.ask.Metric.Window }),
		bounds, ceilMicros(spans[0].since), ceilMicros(last),
	}
	rows := make([][]spreadRow, len(spans))
	err := r.tx.each(ctx, selectRows, arguments, func(f *fields) error {
		n := int(f.int8()) - 1
		row, stats, err := f.spreadRow()
		if err != nil {
			return err
		}
		row.summarize(spans[n].ask.Metric, stats)
		rows[n] = append(rows[n], row)
		return nil
	})
	if err != nil {
		return err
	}
	for n := range spans {
		slices.SortFunc(rows[n], func(a, b spreadRow) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Width, b.Width))
		})
		if err := spans[n].take(spans[n].ask, rows[n]); err != nil {
			return err
		}
	}
	return nil
}

// CutRows adds the starts of the base windows that a bound of windows cuts. Fixed
// windows hold whole ones.
func (a *Ask) CutRows(starts map[int64]bool) {
	for t := a.From; a.Windows.Fixed() == 0; {
		if start := gold.WindowStart(t, a.Metric.Window); start != t {
			starts[start] = true
		}
		if t >= a.To {
			break
		}
		_, t = a.Windows.Bounds(t)
	}
}

// take puts the rows of a span into pieces.
func (p *part) take(a *Ask, rows []spreadRow) error {
	if p.use == expected || a.Metric.Paired() {
		for i := range rows {
			if row := &rows[i]; row.Start >= p.from && row.Start < p.to {
				p.read = append(p.read, piece{row: &row.Stored, versions: row.versions})
			}
		}
		return nil
	}
	windows := a.Windows
	if p.use == preceding {
		windows = gold.Windows{}
	}
	spread := gold.NewSpread(a.Metric, windows, p.from, p.to, func(s *gold.Stored) error {
		kept := *s
		p.read = append(p.read, piece{row: &kept})
		return nil
	})
	spread.SetHistory(a.History)
	for i := range rows {
		if err := spread.Add(&rows[i].Stored, rows[i].versions); err != nil {
			return err
		}
	}
	return spread.Finish()
}

// As in selectBounds, one step into the index.
const (
	nearest = `SELECT k.n, ` + rowColumns + `,
	(SELECT coalesce(max(settled_ns), 0) FROM gold.base e WHERE e.series_id = k.id AND %s
		AND e.start >= $3 AND e.start < $4)
FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY AS k(id, at, n)
CROSS JOIN LATERAL (SELECT * FROM gold.base WHERE series_id = k.id AND count > 0 AND start >= $3 AND start < $4
	AND start %s LIMIT 1) AS n`
)

var (
	selectLastBefore = fmt.Sprintf(nearest, "e.start > n.start AND e.start < k.at",
		"< k.at ORDER BY start DESC, width DESC")
	selectFirstFrom = fmt.Sprintf(nearest, "e.start < n.start AND e.start >= k.at", ">= k.at ORDER BY start, width")
)

// neighbours reads the nearest row with readings on a side of a time, of those asks
// that need one; nil where there is none.
func (r *piecesReader) neighbours(
	ctx context.Context, sql string, of func(*Ask) (at int64, ok bool),
) ([]*Neighbour, error) {
	var (
		ids   []int64
		times []time.Time
		asks  []int
		found = make([]*Neighbour, len(r.asks))

		first, last int64 = math.MaxInt64, math.MinInt64
	)
	for i := range r.asks {
		if at, ok := of(&r.asks[i]); ok {
			first, last = min(first, r.asks[i].Series.firstWeek), max(last, r.asks[i].Series.lastWeek)
			ids, times, asks = append(ids, r.asks[i].Series.ID), append(times, ceilMicros(at)), append(asks, i)
		}
	}
	if len(asks) == 0 {
		return found, nil
	}
	err := r.tx.each(ctx, sql, []any{ids, times, timestamp(first), timestamp(last + int64(week))}, func(f *fields) error {
		i := asks[int(f.int8())-1]
		n := new(Neighbour)
		f.row(&n.StatsRow)
		n.Emptied = f.int8()
		found[i] = n
		return f.err()
	})
	return found, err
}
