package gold_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// TestExplainSaysWhatWinnersDoes explains every version once and names as the one
// that counts the one that Winners picks.
func TestExplainSaysWhatWinnersDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := normalized().Draw(t, "versions")
		for i := range set {
			set[i].Time = 0
		}
		set = gold.Normalize(set)
		explained := gold.Explain(set)
		left := make(map[gold.Version]bool)
		for _, v := range set {
			left[v] = true
		}
		var counts []gold.Version
		for i, v := range explained {
			if !left[v.Version] {
				t.Fatalf("%+v is explained twice, or not there", v)
			}
			delete(left, v.Version)
			if v.Outcome == gold.Counts {
				counts = append(counts, v.Version)
			}
			if first := v.Outcome == gold.Counts || v.Outcome == gold.Withdraws; first && i > 0 {
				t.Fatalf("%+v comes behind another", v)
			}
			if v.Rejected != (v.Outcome == gold.Rejected) {
				t.Fatalf("%+v", v)
			}
		}
		if len(left) > 0 {
			t.Fatalf("not explained: %+v", left)
		}
		if want := gold.Winners(nil, set); !gold.Equal(want, counts) {
			t.Fatalf("%+v counts, want %+v", counts, want)
		}
	})
}

func TestExplain(t *testing.T) {
	t.Parallel()
	version := func(index uint32, value float64, change func(*gold.Version)) gold.Version {
		v := gold.Version{Value: value, Epoch: 1, Quality: reading.Actual, Stamp: reading.Stamp{Index: index}}
		if change != nil {
			change(&v)
		}
		return v
	}
	estimated := func(v *gold.Version) { v.Quality = reading.Estimated }
	corrected := func(v *gold.Version) { v.Quality = reading.Corrected }
	for name, tt := range map[string]struct {
		versions []gold.Version
		outcomes map[uint32]gold.Outcome // by index
	}{
		"an estimate, an actual, a correction": {
			[]gold.Version{version(1, 1, estimated), version(2, 2, nil), version(3, 3, corrected)},
			map[uint32]gold.Outcome{1: gold.LesserQuality, 2: gold.LesserQuality, 3: gold.Counts},
		},
		"a resend with another value": {
			[]gold.Version{version(1, 1, nil), version(2, 2, nil)},
			map[uint32]gold.Outcome{1: gold.Earlier, 2: gold.Counts},
		},
		"a duplicate is one version": {
			[]gold.Version{version(1, 1, nil), version(2, 1, nil)},
			map[uint32]gold.Outcome{1: gold.Counts},
		},
		"a revision": {
			[]gold.Version{version(1, 1, func(v *gold.Version) { v.Revision = 2 }), version(2, 2, nil)},
			map[uint32]gold.Outcome{1: gold.Counts, 2: gold.LesserRevision},
		},
		"a withdrawal": {
			[]gold.Version{version(1, 1, nil), version(2, 0, func(v *gold.Version) { v.Quality = reading.Withdrawn })},
			map[uint32]gold.Outcome{1: gold.LesserQuality, 2: gold.Withdraws},
		},
		"a rule that is stricter now": {
			[]gold.Version{version(1, 1, nil), version(2, 1, func(v *gold.Version) { v.Epoch, v.Rejected = 2, true })},
			map[uint32]gold.Outcome{1: gold.Overruled, 2: gold.Rejected},
		},
		"a release": {
			[]gold.Version{
				version(1, 1, func(v *gold.Version) { v.Rejected = true }),
				version(2, 1, func(v *gold.Version) { v.Waived = true }),
			},
			map[uint32]gold.Outcome{1: gold.Rejected, 2: gold.Counts},
		},
		"the same judged again": {
			[]gold.Version{version(1, 1, nil), version(2, 1, func(v *gold.Version) { v.Epoch = 2 })},
			map[uint32]gold.Outcome{1: gold.JudgedAgain, 2: gold.Counts},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range gold.Explain(gold.Normalize(tt.versions)) {
				if want := tt.outcomes[v.Stamp.Index]; v.Outcome != want {
					t.Errorf("%+v: outcome %d, want %d", v.Version, v.Outcome, want)
				}
			}
		})
	}
}

// TestKnownAtIsWhatHadArrived compares with the set of what had arrived and been
// judged by then.
func TestKnownAtIsWhatHadArrived(t *testing.T) {
	t.Parallel()
	h := catalog.NewHistory(map[uint64]int64{1: 0, 2: 50})
	rapid.Check(t, func(t *rapid.T) {
		set := normalized().Draw(t, "versions")
		at := rapid.Int64Range(0, 100).Draw(t, "at")
		for i := range set {
			set[i].Stamp.Received = rapid.Int64Range(0, 100).Draw(t, "received")
			set[i].Released = set[i].Stamp.Received + rapid.Int64Range(0, 20).Draw(t, "released")
			set[i].Epoch = rapid.Uint64Range(1, 2).Draw(t, "epoch")
		}
		set = gold.Normalize(set)
		var want []gold.Version
		for _, v := range set {
			if v.Stamp.Received <= at && (v.Epoch == 1 || at >= 50) && (!v.Waived || v.Released <= at) {
				want = append(want, v)
			}
		}
		if got := gold.KnownAt(h, set, at); !gold.Equal(got, want) {
			t.Fatalf("at %d %+v is known, want %+v", at, got, want)
		}
	})
}
