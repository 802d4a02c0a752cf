package chaos

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// contentKey is what a reading says, of which series and time.
type contentKey struct {
	series        reading.Series
	time          int64
	value         uint64 // bits
	revision      uint64
	length        time.Duration
	quality       reading.Quality
	exchange      bool
	exchangeStart uint64 // bits
}

// stored is gold as it is held against what was sent. Contents are kept by their hash:
// one in 2⁶⁴ is taken for another.
type stored struct {
	seed     maphash.Seed
	contents map[uint64]struct{}
	refused  map[reading.Stamp]struct{}
	kept     map[reading.Stamp]int // bytes of messages in quarantine for what has no entry, by stamp without index
	windows  map[windowKey]windowStats
}

type windowKey struct {
	series reading.Series
	start  int64 // Unix ns
}

type windowStats struct {
	count, estimated, corrected uint64
	sum, min, max               float64
}

// readGold reads gold.content and the quarantine.
func readGold(ctx context.Context, url string) (*stored, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	g := &stored{
		seed: maphash.MakeSeed(), contents: make(map[uint64]struct{}), refused: make(map[reading.Stamp]struct{}),
		kept: make(map[reading.Stamp]int), windows: make(map[windowKey]windowStats),
	}
	return g, errors.Join(g.readContent(ctx, conn), g.readQuarantine(ctx, conn))
}

func (g *stored) readContent(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT entity, metric, unit, start, count, estimated_count, corrected_count,
		sum, min, max, samples, stamps FROM gold.content`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s reading.Series
		var start time.Time
		var count, estimated, corrected *int64
		var sum, least, most *float64
		var samples, stamps []byte
		err := rows.Scan(&s.EntityID, &s.Metric, &s.Unit, &start, &count, &estimated, &corrected,
			&sum, &least, &most, &samples, &stamps)
		if err != nil {
			return err
		}
		if count != nil && *count > 0 {
			g.windows[windowKey{s, start.UnixNano()}] = windowStats{
				uint64(*count), uint64(*estimated), uint64(*corrected), *sum, *least, *most,
			}
		}
		if len(samples) == 0 {
			continue // its versions are in parts
		}
		versions, err := gold.Decode(start.UnixNano(), samples, stamps)
		if err != nil {
			return fmt.Errorf("row of %s at %s: %w", s, start, err)
		}
		for i := range versions {
			v := &versions[i]
			g.contents[g.hash(&contentKey{
				s, v.Time, math.Float64bits(v.Value), v.Revision, v.Length, v.Quality, v.Exchange,
				math.Float64bits(v.ExchangeStart),
			})] = struct{}{}
		}
	}
	return rows.Err()
}

func (g *stored) hash(c *contentKey) uint64 { return maphash.Comparable(g.seed, *c) }

func (g *stored) readQuarantine(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT received_ns, stream, sequence, index, stage, rule,
		coalesce(length(payload), 0) FROM gold.quarantine`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s reading.Stamp
		var stream, sequence, index int64
		var stage, rule string
		var payload int
		if err := rows.Scan(&s.Received, &stream, &sequence, &index, &stage, &rule, &payload); err != nil {
			return err
		}
		s.Stream, s.Sequence, s.Index = uint32(stream), uint64(sequence), uint32(index)
		g.refused[s] = struct{}{}
		if stage == "ingest" && rule == reading.Limit.String() {
			s.Index = 0
			g.kept[s] += payload
		}
	}
	return rows.Err()
}

// sumsDiffer is how far sums of the same numbers in another order may be apart, as a
// share of the sum of their absolutes.
const sumsDiffer = 1e-12

// agree compares gold's windows with a fleet's truth.
func (g *stored) agree(f *fleet.Fleet) error {
	series, known := f.Series(), 0
	for row := range f.Rows() {
		if row.Span != fleet.Fixed || row.Count == 0 {
			continue
		}
		known++
		key := windowKey{series[row.Series].Key(), row.Start}
		is, ok := g.windows[key]
		want := windowStats{row.Count, row.Estimated, row.Corrected, row.Sum, row.Min, row.Max}
		most := float64(row.Count) * max(math.Abs(row.Min), math.Abs(row.Max))
		if ok && math.Abs(is.sum-want.sum) <= sumsDiffer*most {
			is.sum = want.sum
		}
		if is != want {
			return fmt.Errorf("%s at %s: has %+v, the truth is %+v", key.series, time.Unix(0, key.start).UTC(), is, want)
		}
	}
	if known == 0 {
		return errors.New("the fleet knows no window")
	}
	return nil
}
