package goldstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// Bounds is where the readings of a series that count begin and end.
type Bounds struct {
	FirstStart, LastStart int64 // starts of the first and the last row, Unix ns
	FirstAt, LastAt       int64 // event times of the first and the last reading, Unix ns
	Reach                 int64 // latest end of what readings cover, Unix ns; 0 when they cover nothing

	rows timeSpan // starts of the first and the last row, whether readings in them count or not
}

// One step into the index from each end of a series, in its first and its last week.
// The bounds on start leave out partitions.
const selectBounds = `
SELECT s.n, a.start, b.start, a.first_at_ns, b.last_at_ns, r.reach_ns, f.start, l.start
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::interval[])
	WITH ORDINALITY AS s(id, first, last, reach, n)
CROSS JOIN LATERAL (SELECT start, first_at_ns FROM gold.base
	WHERE series_id = s.id AND count > 0 AND start >= s.first AND start >= $5 AND start < $6
	ORDER BY start, width LIMIT 1) AS a
CROSS JOIN LATERAL (SELECT start, last_at_ns FROM gold.base
	WHERE series_id = s.id AND count > 0 AND start < s.last + interval '7 days' AND start >= $7 AND start < $8
	ORDER BY start DESC, width DESC LIMIT 1) AS b
CROSS JOIN LATERAL (SELECT max(reach_ns) AS reach_ns FROM gold.base
	WHERE series_id = s.id AND start >= b.start - s.reach AND start >= $9) AS r
CROSS JOIN LATERAL (SELECT start FROM gold.base
	WHERE series_id = s.id AND start >= s.first AND start >= $5 AND start < $6 ORDER BY start LIMIT 1) AS f
CROSS JOIN LATERAL (SELECT start FROM gold.base
	WHERE series_id = s.id AND start < s.last + interval '7 days' AND start >= $7 AND start < $8
	ORDER BY start DESC LIMIT 1) AS l`

// Bounds returns the bounds of each series by its id. A series without
// readings that count is left out.
func (tx *ReadTx) Bounds(ctx context.Context, series []Series) (map[int64]Bounds, error) {
	bounds := make(map[int64]Bounds, len(series))
	ends := func(s *Series) timeSpan { return timeSpan{s.firstWeek, s.lastWeek} }
	err := inWeeks(series, ends, func(some []Series, narrow bool) (found []bool, err error) {
		first := spread(some, func(s *Series) int64 { return s.firstWeek })
		last := spread(some, func(s *Series) int64 { return s.lastWeek })
		if !narrow {
			first.to, last.from = last.to, first.from
		}
		reach := spread(some, func(s *Series) int64 { return int64(s.Reach) }).to
		found = make([]bool, len(some))
		arguments := []any{
			column(some, func(s *Series) int64 { return s.ID }),
			column(some, func(s *Series) time.Time { return timestamp(s.firstWeek) }),
			column(some, func(s *Series) time.Time { return timestamp(s.lastWeek) }),
			column(some, func(s *Series) time.Duration { return s.Reach }),
			timestamp(first.from), timestamp(first.to + int64(week)), timestamp(last.from), timestamp(last.to + int64(week)),
			timestamp(last.from - reach),
		}
		err = tx.each(ctx, selectBounds, arguments, func(f *fields) error {
			n := int(f.int8()) - 1
			found[n] = true
			bounds[some[n].ID] = Bounds{
				FirstStart: f.nanos(), LastStart: f.nanos(), FirstAt: f.int8(), LastAt: f.int8(), Reach: f.orInt8(),
				rows: timeSpan{f.nanos(), f.nanos()},
			}
			return f.err()
		})
		return found, err
	})
	if err != nil {
		return nil, fmt.Errorf("read bounds of %d series: %w", len(series), err)
	}
	return bounds, nil
}

// inWeeks asks for something of series, of those with equal weeks at
// once, narrowly: in their first or last week. It asks again, of all their weeks,
// for those of which nothing is found: what is there may count no more.
func inWeeks(
	series []Series, weeks func(*Series) timeSpan, ask func(some []Series, narrow bool) (found []bool, err error),
) error {
	var left []Series
	for _, equal := range byWeeks(series, weeks) {
		found, err := ask(equal, true)
		if err != nil {
			return err
		}
		for i := range found {
			if !found[i] {
				left = append(left, equal[i])
			}
		}
	}
	if len(left) == 0 {
		return nil
	}
	_, err := ask(left, false)
	return err
}

// maxWeeks bounds the groups of series with equal weeks that are asked for by
// themselves.
const maxWeeks = 6

// byWeeks groups series by weeks; the smallest groups are one if there are many.
func byWeeks(series []Series, weeks func(*Series) timeSpan) [][]Series {
	groups := make(map[timeSpan][]Series)
	for i := range series {
		w := weeks(&series[i])
		groups[w] = append(groups[w], series[i])
	}
	all := slices.SortedFunc(maps.Values(groups), func(a, b []Series) int { return cmp.Compare(len(b), len(a)) })
	if len(all) > maxWeeks {
		all = append(all[:maxWeeks-1], slices.Concat(all[maxWeeks-1:]...))
	}
	return all
}

// timeSpan is the least and the greatest of some times.
type timeSpan struct{ from, to int64 }

func spread(series []Series, of func(*Series) int64) timeSpan {
	i := timeSpan{math.MaxInt64, math.MinInt64}
	for n := range series {
		v := of(&series[n])
		i.from, i.to = min(i.from, v), max(i.to, v)
	}
	return i
}

// Latest is the last reading that counts of a series.
type Latest struct {
	At        int64 // event time, Unix ns
	Value     float64
	Quality   reading.Quality
	ChangedAt time.Time // of the row that holds it
}

// As in selectBounds.
const selectLatest = `
SELECT s.n, b.last_at_ns, b.last, b.last_quality, b.changed_at
FROM unnest($1::bigint[]) WITH ORDINALITY AS s(id, n)
CROSS JOIN LATERAL (SELECT last_at_ns, last, last_quality, changed_at FROM gold.base
	WHERE series_id = s.id AND count > 0 AND start >= $2 AND start < $3 ORDER BY start DESC, width DESC LIMIT 1) AS b`

// Latest returns the last reading of each series by its id. A series without
// readings that count is left out.
func (tx *ReadTx) Latest(ctx context.Context, series []Series) (map[int64]Latest, error) {
	latest := make(map[int64]Latest, len(series))
	end := func(s *Series) timeSpan { return timeSpan{to: s.lastWeek} }
	err := inWeeks(series, end, func(some []Series, narrow bool) (found []bool, err error) {
		last := spread(some, func(s *Series) int64 { return s.lastWeek })
		if !narrow {
			last.from = spread(some, func(s *Series) int64 { return s.firstWeek }).from
		}
		found = make([]bool, len(some))
		arguments := []any{
			column(some, func(s *Series) int64 { return s.ID }), timestamp(last.from), timestamp(last.to + int64(week)),
		}
		err = tx.each(ctx, selectLatest, arguments, func(f *fields) error {
			n := int(f.int8()) - 1
			l := Latest{At: f.int8(), Value: f.float8()}
			l.Quality, l.ChangedAt = reading.Quality(f.int2()), f.time()
			found[n], latest[some[n].ID] = true, l
			return f.err()
		})
		return found, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the latest reading of %d series: %w", len(series), err)
	}
	return latest, nil
}
