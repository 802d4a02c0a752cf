package gold_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
)

// TestReplaceIsWhatItSays holds Replace and Common against sets written down plainly
// (invariant 22).
func TestReplaceIsWhatItSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		versions := rapid.SliceOfN(goldtest.Version(time.Minute), 0, 20)
		stored := gold.Normalize(versions.Draw(t, "stored"))
		fresh := gold.Normalize(append(versions.Draw(t, "fresh"), stored[:len(stored)/2]...))
		bound := goldtest.Stamp().Draw(t, "bound")
		replaced := func(v *gold.Version) bool { return v.Stamp.Compare(bound) < 0 }

		var want []gold.Version
		for _, v := range stored {
			if v.Stamp.Compare(bound) >= 0 {
				want = append(want, v)
			}
		}
		want = gold.Normalize(append(want, fresh...))
		before := slices.Clone(stored)
		if got := gold.Replace(stored, fresh, replaced); !gold.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if !gold.Equal(stored, before) {
			t.Fatal("the argument was changed")
		}
		common := 0
		for i := range stored {
			if slices.ContainsFunc(fresh, func(v gold.Version) bool { return gold.Compare(&v, &stored[i]) == 0 }) {
				common++
			}
		}
		if got := gold.Common(stored, fresh); got != common {
			t.Fatalf("%d are in both, want %d", got, common)
		}
	})
}
