package gold_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
)

// Of a row the winners count, with flags of spikes, whether they share memory with the
// versions or not; these stay as they are.
func TestRowWinnersLeaveVersionsAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		versions := gold.Normalize(rapid.SliceOf(goldtest.Version(time.Hour)).Draw(t, "versions"))
		if rapid.Bool().Draw(t, "uncontested") {
			versions = gold.Winners(nil, versions)
		}
		m := &catalog.Metric{Spike: rapid.SampledFrom([]float64{0, 0.5, 3}).Draw(t, "spike")}
		before := slices.Clone(versions)
		got := gold.RowWinners(m, versions)
		if !gold.Equal(before, versions) {
			t.Fatalf("versions became %+v, were %+v", versions, before)
		}
		want := gold.Winners(nil, versions)
		if len(got) != len(want) {
			t.Fatalf("%d winners, want %d", len(got), len(want))
		}
		for i := range want {
			plain := got[i]
			if plain.Flags = want[i].Flags; plain != want[i] {
				t.Errorf("winner %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}
