package goldstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// judged is a version and its series.
type judged struct {
	series  reading.Series
	version gold.Version
}

// drawJudged draws versions of a few series in a few windows on both sides of
// a week's end, so that conflicts, duplicates, corrections and withdrawals are
// frequent.
func drawJudged(t *rapid.T) []judged {
	one := rapid.Custom(func(t *rapid.T) judged {
		j := judged{
			series: rapid.SampledFrom([]reading.Series{
				register,
				{EntityID: "meter-1", Metric: "active_power", Unit: "kW"},
				{EntityID: "meter-2", Metric: "undeclared", Unit: "furlong"},
			}).Draw(t, "series"),
			version: goldtest.Version(30*time.Minute).Draw(t, "version"),
		}
		j.version.Time += rapid.SampledFrom([]int64{0, int64(24 * time.Hour)}).Draw(t, "day")
		return j
	})
	return rapid.SliceOfN(one, 1, 60).Draw(t, "judged")
}

func collect(c *catalog.Catalog, all []judged) []gold.Group {
	collector := gold.NewCollector(c)
	for _, j := range all {
		collector.Add(j.series, j.version)
	}
	return collector.Take()
}

// drawWriter draws a writer with little, much or no memory.
func drawWriter(t *rapid.T, s *Store, c *catalog.Catalog) *Writer {
	budget := rapid.SampledFrom([]int64{-1, 2500, 1 << 20}).Draw(t, "cache bytes")
	return s.NewWriter(0, c, WriterConfig{CacheBytes: budget})
}

// drawDeliveries draws in what order, how often and in what batches versions
// come: each one once at least.
func drawDeliveries(t *rapid.T, all []judged) [][]judged {
	again := rapid.SliceOfN(rapid.SampledFrom(all), 0, len(all)).Draw(t, "again")
	order := rapid.Permutation(slices.Concat(all, again)).Draw(t, "order")
	var batches [][]judged
	for len(order) > 0 {
		n := rapid.IntRange(1, len(order)).Draw(t, "batch")
		batches = append(batches, order[:n])
		order = order[n:]
	}
	return batches
}

const empty = `TRUNCATE gold.base, gold.parts, gold.series, gold.positions, gold.outbox`

// Whatever order, repetition, grouping, cache and company versions come by, gold.content
// is that of a single flush, and what a naive recomputation says (invariant 3).
func TestContent(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		all := drawJudged(t)
		mustExec(t, s, empty)
		if _, err := s.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), Flush{Groups: collect(c, all)}); err != nil {
			t.Fatal(err)
		}
		want := content(t, s)
		checkOracle(t, s, all)

		mustExec(t, s, empty)
		deliverConcurrently(t, s, c, all)
		if diff := cmp.Diff(want, content(t, s)); diff != "" {
			t.Fatalf("content differs from that of a single flush (-want +got):\n%s", diff)
		}
	})
}

func mustExec(t *rapid.T, s *Store, sql string) {
	if _, err := s.pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// deliverConcurrently has two writers deliver all versions between them, some
// by both.
func deliverConcurrently(t *rapid.T, s *Store, c *catalog.Catalog, all []judged) {
	batches := drawDeliveries(t, all)
	shares := [2][][]judged{}
	for _, b := range batches {
		to := rapid.IntRange(0, 2).Draw(t, "to")
		for i := range shares {
			if to == i || to == 2 {
				shares[i] = append(shares[i], b)
			}
		}
	}
	withPosition := rapid.Bool().Draw(t, "with position")
	var wg sync.WaitGroup
	errs := make([]error, len(shares))
	for i, share := range shares {
		w := drawWriter(t, s, c)
		wg.Go(func() { errs[i] = deliver(t.Context(), w, fmt.Sprint("gold ", i), share, withPosition) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// deliver flushes batches one after the other, as sequences 1, 2, … when with a
// position. Writers take rows in one order, so no flush is ever a deadlock's
// victim.
func deliver(ctx context.Context, w *Writer, stage string, batches [][]judged, withPosition bool) error {
	var created time.Time
	if withPosition {
		p, err := w.store.LoadPosition(ctx, stage, 0)
		if err == nil {
			_, err = w.store.ResetPosition(ctx, p, "SILVER", created, 0)
		}
		if err != nil {
			return err
		}
	}
	for i, b := range batches {
		f := Flush{Groups: collect(w.catalog, b)}
		if withPosition {
			f.Move = &PositionMove{
				Stage: stage, Stream: "SILVER", Created: created, From: uint64(i), To: uint64(i + 1),
				Counts: Counts{In: uint64(len(b))},
			}
		}
		result, err := w.Flush(ctx, f)
		if err != nil {
			return err
		}
		if result.Retries != 0 {
			return fmt.Errorf("%d retries", result.Retries)
		}
		if n := result.Inserted + result.Updated + result.Unchanged; n != len(f.Groups) {
			return fmt.Errorf("result counts %d rows of %d", n, len(f.Groups))
		}
	}
	return nil
}

// checkOracle recomputes the set and its plainest statistics by maps and sorted
// tuples, without the algebra of package gold.
func checkOracle(t *rapid.T, s *Store, all []judged) {
	const window = 15 * time.Minute
	want := map[gold.Key]map[gold.Version]reading.Stamp{} // by version without stamp
	for _, j := range all {
		start := j.version.Time / int64(window) * int64(window)
		k := gold.Key{Series: j.series, Start: start, Width: window}
		if want[k] == nil {
			want[k] = map[gold.Version]reading.Stamp{}
		}
		bare := j.version
		bare.Stamp = reading.Stamp{}
		old, ok := want[k][bare]
		if !ok || slices.Compare(stampTuple(j.version.Stamp), stampTuple(old)) < 0 {
			want[k][bare] = j.version.Stamp
		}
	}
	err := s.Read(t.Context(), func(tx *ReadTx) error {
		series, err := tx.Series(t.Context(), Selector{})
		if err != nil {
			return err
		}
		for _, sr := range series {
			if err := checkSeries(t, tx, sr, want); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != 0 {
		t.Fatalf("%d rows are missing, such as %v", len(want), want)
	}
}

// checkSeries compares the rows of a series and takes them out of want.
func checkSeries(t *rapid.T, tx *ReadTx, sr Series, want map[gold.Key]map[gold.Version]reading.Stamp) error {
	ids := []int64{sr.ID}
	stats := map[RowKey]gold.Partial{}
	err := tx.Rows(t.Context(), ids, math.MinInt64, math.MaxInt64, func(r *StatsRow) error {
		stats[r.RowKey] = r.Stats
		return nil
	})
	if err != nil {
		return err
	}
	return tx.VersionRows(t.Context(), []Span{allOf(sr.ID)}, func(_ int, r *VersionsRow) error {
		k := gold.Key{Series: sr.Series, Start: r.Start, Width: r.Width}
		got := map[gold.Version]reading.Stamp{}
		for _, v := range r.Versions {
			stamp := v.Stamp
			v.Stamp = reading.Stamp{}
			got[v] = stamp
		}
		if diff := cmp.Diff(want[k], got); diff != "" || len(got) != len(r.Versions) {
			return fmt.Errorf("versions of %v (-want +got):\n%s", k, diff)
		}
		if diff := cmp.Diff(naiveStats(sr.Series == register, got), plain(stats[r.RowKey])); diff != "" {
			return fmt.Errorf("statistics of %v (-want +got):\n%s", k, diff)
		}
		delete(want, k)
		return nil
	})
}

// plain keeps the statistics that need no parameters.
func plain(p gold.Partial) gold.Partial {
	return gold.Partial{
		Count: p.Count, Sum: p.Sum, Min: p.Min, Max: p.Max, MinAt: p.MinAt, MaxAt: p.MaxAt,
		First: p.First, Last: p.Last, FirstAt: p.FirstAt, LastAt: p.LastAt,
		FirstQuality: p.FirstQuality, LastQuality: p.LastQuality, Flags: p.Flags &^ ofSets,
	}
}

// ofSets is the flags that no reading has by itself.
const ofSets = reading.Rules(
	1<<reading.Spike | 1<<reading.Stuck | 1<<reading.Gap | 1<<reading.Jump | 1<<reading.Overlap)

func naiveStats(exchanged bool, set map[gold.Version]reading.Stamp) (p gold.Partial) {
	byTime := map[int64][]gold.Version{}
	for v, stamp := range set {
		v.Stamp = stamp
		byTime[v.Time] = append(byTime[v.Time], v)
	}
	times := []int64{}
	for at := range byTime {
		times = append(times, at)
	}
	slices.Sort(times)
	for _, at := range times {
		v, ok := naiveWinner(byTime[at])
		if !ok {
			continue
		}
		if p.Count == 0 {
			p.First, p.FirstAt, p.FirstQuality = v.Value, at, v.Quality
		}
		if p.Count == 0 || v.Value < p.Min {
			p.Min, p.MinAt = v.Value, at
		}
		if p.Count == 0 || v.Value > p.Max {
			p.Max, p.MaxAt = v.Value, at
		}
		p.Last, p.LastAt, p.LastQuality = v.Value, at, v.Quality
		if exchanged && v.Exchange {
			p.Last = v.ExchangeStart
		}
		p.Count++
		p.Sum += v.Value
		p.Flags |= v.Flags
	}
	return p
}

// naiveWinner takes the contents that a judgement accepts and none of a later
// epoch rejects by the same right, each with its smallest stamp, then the
// greatest.
func naiveWinner(same []gold.Version) (best gold.Version, ok bool) {
	contents := map[gold.Version][]gold.Version{}
	for _, v := range same {
		if !v.Rejected && !slices.ContainsFunc(same, func(w gold.Version) bool {
			return w.Rejected && w.Epoch > v.Epoch && w.Waived == v.Waived && bare(w) == bare(v)
		}) {
			contents[bare(v)] = append(contents[bare(v)], v)
		}
	}
	for _, standing := range contents {
		v := slices.MaxFunc(standing, func(v, w gold.Version) int {
			return slices.Compare(judgementTuple(v), judgementTuple(w))
		})
		v.Stamp = slices.MinFunc(standing, func(v, w gold.Version) int {
			return slices.Compare(stampTuple(v.Stamp), stampTuple(w.Stamp))
		}).Stamp
		if !ok || slices.Compare(winnerTuple(v), winnerTuple(best)) > 0 {
			best, ok = v, true
		}
	}
	return best, ok && best.Quality != reading.Withdrawn
}

// bare is the content of a version.
func bare(v gold.Version) gold.Version {
	v.Epoch, v.Flags, v.Rejected, v.Waived, v.Stamp, v.Released = 0, 0, false, false, reading.Stamp{}, 0
	return v
}

func stampTuple(s reading.Stamp) []uint64 {
	return []uint64{uint64(s.Received), uint64(s.Stream), s.Sequence, uint64(s.Index)}
}

func contentTuple(v gold.Version) []uint64 {
	return []uint64{
		uint64(v.Quality), v.Revision, math.Float64bits(v.Value), uint64(v.Length),
		bit(v.Exchange), math.Float64bits(v.ExchangeStart), v.Epoch, uint64(v.Flags), bit(v.Rejected), bit(v.Waived),
	}
}

func judgementTuple(v gold.Version) []uint64 {
	return append([]uint64{bit(v.Waived), v.Epoch}, contentTuple(v)...)
}

func winnerTuple(v gold.Version) []uint64 {
	rank := map[reading.Quality]uint64{
		reading.Estimated: 0, reading.Unspecified: 1, reading.Actual: 1, reading.Corrected: 2, reading.Withdrawn: 2,
	}[v.Quality]
	return slices.Concat([]uint64{rank, v.Revision}, stampTuple(v.Stamp), []uint64{math.Float64bits(v.Value)},
		contentTuple(v))
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
