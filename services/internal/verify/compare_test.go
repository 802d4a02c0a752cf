package verify

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/replay"
)

// TestARowThatLostItsVersionsDiffers: a row says of what its statistics are, also where
// the source gives nothing of its window any more.
func TestARowThatLostItsVersionsDiffers(t *testing.T) {
	t.Parallel()
	all, err := catalog.Epochs{}.Append(time.Unix(0, 0), []byte("units: {V: {dimension: voltage}}\nmetrics: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var told []*Difference
	v := verification{
		Config:  Config{Differs: func(d *Difference) { told = append(told, d) }},
		history: &epochs.History{Epochs: all},
	}
	w := replay.Window{Key: gold.Key{Width: time.Hour}}
	row := goldstore.ContentRow{
		RowKey: goldstore.RowKey{Width: time.Hour}, Epoch: 1, Stats: gold.Partial{Count: 2, Sum: 3},
		Parts: []goldstore.EncodedPart{{Width: time.Hour}}, // its parts are gone
	}
	if err := v.row(t.Context(), &row, nil, &w); err != nil || len(told) != 1 || v.report.Differences != 1 {
		t.Errorf("told %v, %+v, %v", told, v.report, err)
	}
}
