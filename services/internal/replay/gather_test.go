package replay

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
)

const window = 15 * time.Minute

// TestGathering: whatever the order in which versions come and how much fits into
// memory, each window is loaded once, with all of its versions by kind, from any key on.
func TestGathering(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s, err := NewGathering(t.TempDir(), 2, func(s reading.Series) int { return len(s.EntityID) % 2 })
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		s.limit = rapid.IntRange(1, 2000).Draw(rt, "bytes in memory")
		want := make(map[goldstore.RowKey]*Window)
		for range rapid.IntRange(0, 60).Draw(rt, "groups") {
			kind := byte(rapid.IntRange(0, 1).Draw(rt, "kind"))
			g := gold.Group{
				Key: gold.Key{
					Series: reading.Series{EntityID: rapid.SampledFrom([]string{"a", "bb", "c"}).Draw(rt, "entity")},
					Start:  int64(rapid.IntRange(-2, 9).Draw(rt, "window")) * int64(window), Width: window,
				},
			}
			for _, v := range rapid.SliceOfN(goldtest.Version(window), 0, 5).Draw(rt, "versions") {
				v.Time += g.Start
				g.Versions = append(g.Versions, v)
			}
			g.Versions = gold.Normalize(g.Versions)
			if err := s.Add(kind, []gold.Group{g}); err != nil {
				rt.Fatal(err)
			}
			key := goldstore.RowKey{SeriesID: goldstore.SeriesID(g.Series), Start: g.Start, Width: g.Width}
			if want[key] == nil {
				want[key] = &Window{Key: g.Key}
			}
			want[key].Versions[kind] = gold.Normalize(append(want[key].Versions[kind], g.Versions...))
		}
		from := goldstore.RowKey{SeriesID: math.MinInt64, Start: math.MinInt64}
		if rapid.Bool().Draw(rt, "resumed") {
			for from = range want {
				from.Start++
				break
			}
		}
		got := make(map[goldstore.RowKey]*Window)
		limit := rapid.IntRange(1, 40).Draw(rt, "limit")
		for file := range 2 {
			to := goldstore.RowKey{SeriesID: math.MaxInt64, Start: math.MaxInt64}
			if err := loadAll(s, file, from, to, limit, got); err != nil {
				rt.Fatal(err)
			}
		}
		for key := range want {
			if key.Compare(from) < 0 {
				delete(want, key)
			}
		}
		if diff := cmp.Diff(describe(want), describe(got)); diff != "" {
			rt.Fatalf("loaded (-want +got):\n%s", diff)
		}
	})
}

// TestSeriesThatCollideAreNotGathered: versions of two series with one id would become
// those of one window.
func TestSeriesThatCollideAreNotGathered(t *testing.T) {
	t.Parallel()
	s, err := NewGathering(t.TempDir(), 2, func(s reading.Series) int { return len(s.EntityID) % 2 })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.hashID = func(reading.Series) int64 { return 42 }
	groupOf := func(entity string) gold.Group {
		return gold.Group{
			Key:      gold.Key{Series: reading.Series{EntityID: entity}, Width: window},
			Versions: []gold.Version{{Value: 1, Stamp: reading.Stamp{Received: 1, Sequence: 1}}},
		}
	}
	a, b := groupOf("a"), groupOf("b")
	for range 2 { // the same series again is none
		if err := s.Add(0, []gold.Group{a}); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []gold.Group{b, groupOf("in another file")} {
		err := s.Add(1, []gold.Group{other})
		var collision *goldstore.CollisionError
		if !errors.As(err, &collision) || collision.ID != 42 || collision.Stored != a.Series ||
			collision.Wanted != other.Series {
			t.Errorf("%s is added beside %s: %v", other.Series, a.Series, err)
		}
	}
}

// loadAll loads what a file has in a range in parts.
func loadAll(s *Gathering, file int, from, to goldstore.RowKey, limit int, all map[goldstore.RowKey]*Window) error {
	windows, middle, err := s.Load(file, from, to, limit)
	if err != nil {
		return err
	}
	if windows == nil {
		if from.Compare(middle) >= 0 || middle.Compare(to) >= 0 {
			return fmt.Errorf("%v does not divide what is from %v to %v", middle, from, to)
		}
		if err := loadAll(s, file, from, middle, limit, all); err != nil {
			return err
		}
		return loadAll(s, file, middle, to, limit, all)
	}
	for key, w := range windows {
		if all[key] != nil {
			return fmt.Errorf("%v is loaded twice", key)
		}
		all[key] = w
	}
	return nil
}

func describe(windows map[goldstore.RowKey]*Window) map[goldstore.RowKey]string {
	described := make(map[goldstore.RowKey]string)
	for key, w := range windows {
		for kind := range w.Versions {
			samples, stamps := gold.Encode(w.Start, w.Versions[kind])
			described[key] += fmt.Sprintf("%v %x %x\n", w.Key, samples, stamps)
		}
	}
	return described
}

// BenchmarkGatheringLoad loads what was gathered in so many parts: each is read twice,
// and each run is looked into for each, whatever the size of the whole is.
func BenchmarkGatheringLoad(b *testing.B) {
	for _, parts := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("parts=%d", parts), func(b *testing.B) {
			const windows = 100_000
			s, err := NewGathering(b.TempDir(), 1, func(reading.Series) int { return 0 })
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			s.limit = 1 << 20
			for n := range windows {
				start := int64(n*7919%windows) * int64(window)
				err := s.Add(0, []gold.Group{{
					Key:      gold.Key{Series: reading.Series{EntityID: "a"}, Start: start, Width: window},
					Versions: []gold.Version{{Time: start, Value: 1, Stamp: reading.Stamp{Received: int64(n), Sequence: 1}}},
				}})
				if err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				got := make(map[goldstore.RowKey]*Window)
				to := goldstore.RowKey{SeriesID: math.MaxInt64, Start: math.MaxInt64}
				if err := loadAll(s, 0, goldstore.RowKey{}, to, 2*windows/parts, got); err != nil || len(got) != windows {
					b.Fatalf("%d windows are loaded: %v", len(got), err)
				}
			}
		})
	}
}
