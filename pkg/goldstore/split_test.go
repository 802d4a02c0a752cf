package goldstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// drawBursts draws versions of one window that crowd around some seconds, some
// of them duplicates and corrections of others.
func drawBursts(t *rapid.T) []judged {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	var all []judged
	for range rapid.IntRange(1, 3).Draw(t, "bursts") {
		spread := rapid.SampledFrom([]time.Duration{1, time.Second, 20 * time.Second, 15 * time.Minute}).Draw(t, "spread")
		at := time.Duration(random.Int64N(int64(15*time.Minute - spread + 1)))
		for range rapid.IntRange(50, 500).Draw(t, "versions") {
			sequence := uint64(random.IntN(20))
			v := version(at+time.Duration(random.Int64N(int64(spread))), float64(random.IntN(4)), sequence)
			v.Stamp.Received = sunday + int64(sequence)
			v.Stamp.Index = random.Uint32N(5)
			v.Revision = random.Uint64N(3)
			all = append(all, judged{register, v})
		}
	}
	return all
}

// Windows that are stored in parts have equal content whatever order, repetition,
// grouping, cache and second writer their versions come by (invariant 3).
func TestContentOfFullWindows(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		all := drawBursts(t)
		mustExec(t, s, empty)
		if _, err := s.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), Flush{Groups: collect(c, all)}); err != nil {
			t.Fatal(err)
		}
		want := content(t, s)
		checkOracle(t, s, all)
		checkLayout(t, s, all)

		mustExec(t, s, empty)
		deliverConcurrently(t, s, c, all)
		if diff := cmp.Diff(want, content(t, s)); diff != "" {
			t.Fatalf("content differs from that of a single flush (-want +got):\n%s", diff)
		}
		checkOracle(t, s, all)
	})
}

// checkLayout compares the parts in the database with a recomputation from the
// times alone.
func checkLayout(t *rapid.T, s *Store, all []judged) {
	type identity struct {
		at, revision uint64
		value        float64
	}
	unique := map[identity]int64{}
	for _, j := range all {
		unique[identity{uint64(j.version.Time), j.version.Revision, j.version.Value}] = j.version.Time
	}
	var want []string
	var halve func(from, to int64)
	halve = func(from, to int64) { // in seconds of the day
		n := 0
		for _, at := range unique {
			if second := (at - sunday) / int64(time.Second); from <= second && second < to {
				n++
			}
		}
		switch middle := from + (to-from)/2; {
		case n == 0, to-from == 900 && n <= 256:
		case n <= 256, to-from == 1:
			want = append(want, fmt.Sprintf("%d+%d", from, to-from))
		default:
			halve(from, middle)
			halve(middle, to)
		}
	}
	halve(0, 900)
	rows, err := s.pool.Query(t.Context(), `SELECT format('%s+%s', extract(epoch FROM part_start - start)::int, part_width)
		FROM gold.parts ORDER BY part_start`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var part string
		if err := rows.Scan(&part); err != nil {
			t.Fatal(err)
		}
		got = append(got, part)
	}
	if !slices.Equal(want, got) {
		t.Fatalf("parts %v, want %v", got, want)
	}
}

// everySecond returns a version in each second of a quarter of an hour.
func everySecond() (vs []gold.Version) {
	for i := range 900 {
		vs = append(vs, version(time.Duration(i)*time.Second, float64(i), uint64(i)))
	}
	return vs
}

func TestFullWindow(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	t.Run("IsAnsweredAsOneRow", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		result := flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, register, everySecond()...)})
		want := gold.NewRow(c, gold.Key{Series: register, Start: sunday, Width: 15 * time.Minute}, everySecond())
		if len(result.Changes) != 1 || result.Changes[0].After != want.Stats {
			t.Errorf("changes %+v", result.Changes)
		}
		if n := number(t, s, `SELECT count(*) FROM gold.parts`); n != 4 {
			t.Errorf("%d parts, want 4", n)
		}
		id := SeriesID(register)
		err := s.Read(t.Context(), func(tx *ReadTx) error {
			rows := 0
			err := tx.Rows(t.Context(), []int64{id}, sunday, sunday+1, func(r *StatsRow) error {
				rows++
				if r.Stats != want.Stats {
					t.Error(cmp.Diff(want.Stats, r.Stats))
				}
				return nil
			})
			series, seriesErr := tx.Series(t.Context(), Selector{})
			named, nameErr := tx.VersionsFrom(t.Context(), []Place{{&series[0], sunday}}, 1)
			if rows != 1 || len(named[0]) != 1 || !gold.Equal(named[0][0].Versions, want.Versions) {
				t.Errorf("%d rows, %d with versions", rows, len(named[0]))
			}
			err = errors.Join(err, seriesErr)
			return errors.Join(err, nameErr)
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("IsRewrittenOnlyWhereItChanges", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w := s.NewWriter(0, c, WriterConfig{})
		flush(t, w, Flush{Groups: groups(c, register, everySecond()...)})
		exec(t, s, `CREATE TABLE before AS SELECT part_start, xmin::text AS written FROM gold.parts`)
		late := version(300*time.Second+1, 7, 5000)
		for _, w := range []*Writer{w, s.NewWriter(0, c, WriterConfig{CacheBytes: -1})} { // with memory, and without
			late.Value++
			flush(t, w, Flush{Groups: groups(c, register, late)})
		}
		if n := number(t, s, `SELECT count(*) FROM gold.parts p JOIN before b USING (part_start)
			WHERE p.xmin::text = b.written`); n != 3 {
			t.Errorf("%d of 4 parts are as they were, want 3", n)
		}
	})
	t.Run("WithMoreThanItMayHoldIsRefused", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		var vs []gold.Version
		for i := range gold.MaxVersions + 1 {
			vs = append(vs, version(time.Duration(i), 1, 1))
		}
		_, err := s.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), Flush{Groups: groups(c, register, vs...)})
		if !errors.Is(err, ErrRowFull) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("OfOneSecondIsOnePart", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		var vs []gold.Version
		for i := range 1000 {
			vs = append(vs, version(time.Minute+time.Duration(i%3), float64(i), uint64(i)))
		}
		other := reading.Series{EntityID: "meter-2", Metric: "active_power", Unit: "kW"}
		flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, other, vs...)})
		if n := number(t, s, `SELECT count(*) FROM gold.parts WHERE part_width = 1`); n != 1 {
			t.Errorf("%d parts of a second", n)
		}
	})
}
