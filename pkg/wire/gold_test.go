package wire_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestChangesTellWhatWasFromWhatIs has a row that came, one that was corrected
// and one whose readings were all withdrawn.
func TestChangesTellWhatWasFromWhatIs(t *testing.T) {
	t.Parallel()
	one, two := gold.Partial{Count: 1, Energy: 1}, gold.Partial{Count: 1, Energy: 2, CorrectedCount: 1}
	data, err := wire.Changes(7, []gold.Change{
		{After: one, Revision: 1, Cause: gold.CauseStream},
		{Before: &one, After: two, Revision: 2, Cause: gold.CauseRelease},
		{Before: &two, After: gold.Partial{}, Revision: 3, Cause: gold.CauseCatalog},
		{Before: &gold.Partial{}, After: one, Revision: 4, Cause: gold.CauseBatch},
	})
	if err != nil {
		t.Fatal(err)
	}
	message := new(energyv1.GoldChanges)
	if err := proto.Unmarshal(data, message); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		before, after *float64
		cause         energyv1.Cause
	}{
		{nil, &one.Energy, energyv1.Cause_CAUSE_STREAM},
		{&one.Energy, &two.Energy, energyv1.Cause_CAUSE_RELEASE},
		{&two.Energy, nil, energyv1.Cause_CAUSE_CATALOG},
		{nil, &one.Energy, energyv1.Cause_CAUSE_BATCH},
	} {
		got := message.GetChanges()[i]
		same := func(s *energyv1.Statistics, energy *float64) bool {
			return (s == nil) == (energy == nil) && (s == nil || s.GetEnergy() == *energy)
		}
		if !same(got.GetBefore(), want.before) || !same(got.GetAfter(), want.after) || got.GetCause() != want.cause {
			t.Errorf("change %d is %v", i, got)
		}
	}
}
