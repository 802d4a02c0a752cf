package gold_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

func versions() *rapid.Generator[[]gold.Version] {
	return rapid.SliceOfN(goldtest.Version(time.Hour), 0, 30)
}

func normalized() *rapid.Generator[[]gold.Version] {
	return rapid.Map(versions(), func(v []gold.Version) []gold.Version {
		return gold.Normalize(slices.Clone(v))
	})
}

// TestMergeIsASemilattice proves invariants 2 and 18.
func TestMergeIsASemilattice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := normalized().Draw(t, "a"), normalized().Draw(t, "b"), normalized().Draw(t, "c")
		check := func(law string, x, y []gold.Version) {
			if !gold.Equal(x, y) {
				t.Fatalf("%s:\n%s", law, cmp.Diff(x, y))
			}
		}
		check("commutative", gold.Merge(a, b), gold.Merge(b, a))
		check("associative", gold.Merge(gold.Merge(a, b), c), gold.Merge(a, gold.Merge(b, c)))
		check("idempotent", gold.Merge(a, a), a)
		check("identity", gold.Merge(a, nil), a)
	})
}

// TestAnUnknownReleaseYields: a service that did not know of times of release yet
// passes one on without; whichever comes first, the time is kept.
func TestAnUnknownReleaseYields(t *testing.T) {
	t.Parallel()
	at := func(released int64) []gold.Version {
		return []gold.Version{{Time: 1, Value: 5, Epoch: 1, Waived: true, Released: released}}
	}
	for _, union := range [][]gold.Version{
		gold.Merge(at(0), at(7)), gold.Merge(at(7), at(0)), gold.Normalize(append(at(0), at(7)...)),
		gold.Normalize(append(at(7), at(0)...)), gold.Merge(gold.Merge(at(9), at(0)), at(7)),
	} {
		if len(union) != 1 || union[0].Released != 7 {
			t.Errorf("the union is %+v", union)
		}
	}
}

// TestAnyOrderSplitAndRepetitionEncodeEqually proves invariant 2.
func TestAnyOrderSplitAndRepetitionEncodeEqually(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := versions().Draw(t, "versions")
		wantSamples, wantStamps := gold.Encode(goldtest.Start, gold.Normalize(slices.Clone(all)))

		sent := slices.Clone(all)
		if len(all) > 0 {
			sent = append(sent, rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "repeated")...)
		}
		sent = rapid.Permutation(sent).Draw(t, "order")
		var merged []gold.Version
		for len(sent) > 0 {
			n := rapid.IntRange(1, len(sent)).Draw(t, "batch")
			merged = gold.Merge(merged, gold.Normalize(slices.Clone(sent[:n])))
			sent = sent[n:]
		}
		samples, stamps := gold.Encode(goldtest.Start, merged)
		if !slices.Equal(samples, wantSamples) || !slices.Equal(stamps, wantStamps) {
			t.Fatalf("bytes differ:\n%s", cmp.Diff(gold.Normalize(all), merged))
		}
	})
}

// TestWinnersFollowTheLaw recomputes the winner of every event time from the
// sentences of the law, over the unmerged versions.
func TestWinnersFollowTheLaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := normalized().Draw(t, "versions")
		byTime := map[int64][]gold.Version{}
		for _, v := range set {
			byTime[v.Time] = append(byTime[v.Time], v)
		}
		winners := gold.Winners(nil, set)
		if !slices.IsSortedFunc(winners, func(a, b gold.Version) int { return int(a.Time - b.Time) }) {
			t.Fatal("winners are out of order")
		}
		for _, w := range winners {
			same := byTime[w.Time]
			for _, v := range same {
				if stands(v, same) && contentOf(v) != contentOf(w) && beats(v, w, same) {
					t.Fatalf("%+v loses to %+v", v, w)
				}
			}
			if w.Quality == reading.Withdrawn || !stands(w, same) {
				t.Fatalf("%+v must not win", w)
			}
			delete(byTime, w.Time)
		}
		for at, left := range byTime {
			best := slices.IndexFunc(left, func(v gold.Version) bool { return stands(v, left) && v.Quality.Rank() < 2 })
			withdrawn := slices.ContainsFunc(left, func(v gold.Version) bool {
				return v.Quality == reading.Withdrawn && stands(v, left)
			})
			if best >= 0 && !withdrawn {
				t.Fatalf("nothing won at %d although %+v stands", at, left[best])
			}
		}
	})
}

// contentOf leaves of a version what its producer said.
func contentOf(v gold.Version) gold.Version {
	v.Epoch, v.Flags, v.Rejected, v.Waived, v.Stamp, v.Released = 0, 0, false, false, reading.Stamp{}, 0
	return v
}

// stands reports whether v accepts its content and no later epoch rejects that
// by the same right.
func stands(v gold.Version, same []gold.Version) bool {
	return !v.Rejected && !slices.ContainsFunc(same, func(w gold.Version) bool {
		return w.Rejected && contentOf(w) == contentOf(v) && w.Waived == v.Waived && w.Epoch > v.Epoch
	})
}

// stampOf is the smallest stamp of the judgements by which v's content stands.
func stampOf(v gold.Version, same []gold.Version) (stamp reading.Stamp) {
	for _, w := range same {
		if contentOf(w) == contentOf(v) && stands(w, same) &&
			(stamp == reading.Stamp{} || w.Stamp.Compare(stamp) < 0) {
			stamp = w.Stamp
		}
	}
	return stamp
}

func beats(v, w gold.Version, same []gold.Version) bool {
	if v.Quality.Rank() != w.Quality.Rank() {
		return v.Quality.Rank() > w.Quality.Rank()
	}
	if v.Revision != w.Revision {
		return v.Revision > w.Revision
	}
	if c := stampOf(v, same).Compare(stampOf(w, same)); c != 0 {
		return c > 0
	}
	return math.Float64bits(v.Value) > math.Float64bits(w.Value)
}

func TestWinners(t *testing.T) {
	t.Parallel()
	at := func(second int) reading.Stamp {
		return reading.Stamp{Received: int64(second) * int64(time.Second), Sequence: uint64(second)}
	}
	version := func(value float64, q reading.Quality, revision uint64, stamp reading.Stamp) gold.Version {
		return gold.Version{Time: 1, Value: value, Quality: q, Revision: revision, Epoch: 1, Stamp: stamp}
	}
	later := func(v gold.Version) gold.Version { v.Epoch++; return v }
	tests := []struct {
		name string
		set  []gold.Version
		want []float64
	}{
		{"the later of two actual values wins", []gold.Version{
			version(1, reading.Actual, 0, at(1)), version(2, reading.Actual, 0, at(2))}, []float64{2}},
		{"an estimate never beats an actual value that came before", []gold.Version{
			version(1, reading.Actual, 0, at(1)), version(2, reading.Estimated, 9, at(2))}, []float64{1}},
		{"a correction beats a later actual value", []gold.Version{
			version(1, reading.Corrected, 0, at(1)), version(2, reading.Actual, 0, at(2))}, []float64{1}},
		{"a greater revision beats a later stamp", []gold.Version{
			version(1, reading.Actual, 1, at(1)), version(2, reading.Actual, 0, at(2))}, []float64{1}},
		{"A, B, A without a revision stays B, since the second A is a duplicate", []gold.Version{
			version(1, reading.Actual, 0, at(1)), version(2, reading.Actual, 0, at(2)),
			version(1, reading.Actual, 0, at(3))}, []float64{2}},
		{"A, B, A with a revision ends in A", []gold.Version{
			version(1, reading.Actual, 0, at(1)), version(2, reading.Actual, 0, at(2)),
			version(1, reading.Actual, 1, at(3))}, []float64{1}},
		{"nor is it another reading if an epoch came in between", []gold.Version{
			version(1, reading.Actual, 0, at(1)), version(2, reading.Actual, 0, at(2)),
			later(version(1, reading.Actual, 0, at(3)))}, []float64{2}},
		{"a withdrawal leaves nothing", []gold.Version{
			version(1, reading.Actual, 0, at(1)), version(1, reading.Withdrawn, 0, at(2))}, nil},
		{"a correction after a withdrawal counts again", []gold.Version{
			version(1, reading.Withdrawn, 0, at(1)), version(3, reading.Corrected, 0, at(2))}, []float64{3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []float64
			for _, w := range gold.Winners(nil, gold.Normalize(tt.set)) {
				got = append(got, w.Value)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRejudgement(t *testing.T) {
	t.Parallel()
	stamp := reading.Stamp{Received: 1, Sequence: 1}
	accepted := gold.Version{Time: 1, Value: 5, Epoch: 1, Stamp: stamp}
	rejected := gold.Version{Time: 1, Value: 5, Epoch: 2, Rejected: true, Stamp: stamp}
	waived := gold.Version{Time: 1, Value: 5, Epoch: 1, Waived: true, Stamp: stamp}
	count := func(vs ...gold.Version) int { return len(gold.Winners(nil, gold.Normalize(vs))) }
	if count(accepted) != 1 || count(accepted, rejected) != 0 || count(rejected, waived, accepted) != 1 {
		t.Error("a later epoch must take the reading out, and a waiver put it back")
	}
}
