package goldstore

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Place is a time of a series, in Unix ns.
type Place struct {
	Series *Series
	At     int64
}

// Neighbour is a row, and the latest Settled of the rows without readings that
// lie between it and the time that it was asked for.
type Neighbour struct {
	StatsRow
	Emptied int64
}

// As in selectBounds, one step into the index. The bounds on start leave out
// partitions.
const selectNeighbour = `
SELECT k.n, ` + rowColumns + `,
	(SELECT coalesce(max(settled_ns), 0) FROM gold.base e WHERE e.series_id = k.id AND %s
		AND e.start >= $3 AND e.start < $4)
FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY AS k(id, at, n)
CROSS JOIN LATERAL (SELECT * FROM gold.base WHERE series_id = k.id AND count > 0 AND start >= $3 AND start < $4
	AND start %s LIMIT 1) AS n`

var (
	selectLastBefore = fmt.Sprintf(selectNeighbour, "e.start > n.start AND e.start < k.at",
		"< k.at ORDER BY start DESC, width DESC")
	selectFirstFrom = fmt.Sprintf(selectNeighbour, "e.start < n.start AND e.start >= k.at",
		">= k.at ORDER BY start, width")
)

// LastBefore returns for each place the last row of its series that starts before
// it and has readings that count; nil where there is none.
func (tx *ReadTx) LastBefore(ctx context.Context, places []Place) ([]*Neighbour, error) {
	return tx.neighbours(ctx, selectLastBefore, places)
}

// FirstFrom returns for each place the first row of its series that starts there or
// later and has readings that count; nil where there is none.
func (tx *ReadTx) FirstFrom(ctx context.Context, places []Place) ([]*Neighbour, error) {
	return tx.neighbours(ctx, selectFirstFrom, places)
}

func (tx *ReadTx) neighbours(ctx context.Context, sql string, places []Place) ([]*Neighbour, error) {
	found := make([]*Neighbour, len(places))
	if len(places) == 0 {
		return found, nil
	}
	err := tx.each(ctx, sql, placeArguments(places), func(f *fields) error {
		i, n := int(f.int8())-1, new(Neighbour)
		f.row(&n.StatsRow)
		n.Emptied = f.int8()
		found[i] = n
		return f.err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the neighbours of %d places: %w", len(places), err)
	}
	return found, nil
}

// Nearest returns what read finds for the times of asks at which one has to know the
// nearest row with readings, such as those of [Ask.Before]; nil where none matters or
// there is none.
func Nearest(
	ctx context.Context, asks []Ask, at func(*Ask) (at int64, ok bool),
	read func(context.Context, []Place) ([]*Neighbour, error),
) ([]*Neighbour, error) {
	var places []Place
	var of []int
	for i := range asks {
		if at, ok := at(&asks[i]); ok {
			places, of = append(places, Place{&asks[i].Series, at}), append(of, i)
		}
	}
	nearest, err := read(ctx, places)
	if err != nil {
		return nil, err
	}
	found := make([]*Neighbour, len(asks))
	for n, i := range of {
		found[i] = nearest[n]
	}
	return found, nil
}

// placeArguments returns the ids and the times of places, and the ends of the weeks
// in which their series have rows.
func placeArguments(places []Place) []any {
	weeks := timeSpan{math.MaxInt64, math.MinInt64}
	for i := range places {
		s := places[i].Series
		weeks.from, weeks.to = min(weeks.from, s.firstWeek), max(weeks.to, s.lastWeek+int64(week))
	}
	return []any{
		column(places, func(p *Place) int64 { return p.Series.ID }),
		column(places, func(p *Place) time.Time { return ceilMicros(p.At) }),
		timestamp(weeks.from), timestamp(weeks.to),
	}
}
