package goldstore

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/reading"
)

// TestRefusedStamps: readings are found by their whole stamp and the stage, once,
// however many entries they have.
func TestRefusedStamps(t *testing.T) {
	t.Parallel()
	s := open(t)
	stamp := func(index uint32) reading.Stamp { return reading.Stamp{Received: 7, Sequence: 8, Index: index} }
	var rows []QuarantineRow
	for _, of := range []struct {
		stage string
		index uint32
		epoch uint64
	}{{"gold", 0, 1}, {"gold", 0, 2}, {"silver", 1, 1}} {
		rows = append(rows, QuarantineRow{Stamp: stamp(of.index), Stage: of.stage, Rule: "limit", Epoch: of.epoch})
	}
	if err := s.AddRefusals(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	err := s.Read(t.Context(), func(tx *ReadTx) error {
		refused, err := tx.RefusedStamps(t.Context(), "gold", []reading.Stamp{stamp(2), stamp(1), stamp(0)})
		if diff := cmp.Diff(map[reading.Stamp]struct{}{stamp(0): {}}, refused); diff != "" {
			t.Error(diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
