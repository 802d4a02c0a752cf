package batch

import (
	"encoding/json"
	"fmt"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

// Covered returns up to which sequence of an ingress stream batch runs have brought
// all readings into gold, as far as the stream held them; 0 when none has.
func Covered(records []goldstore.BatchRecord, stream broker.StreamStatus) (sequence uint64, err error) {
	for i := range records {
		b := &records[i]
		if b.State != goldstore.BatchDone || b.Kind == job.KindPlan {
			continue
		}
		var done Recorded
		if err := json.Unmarshal(b.Selection, &done); err != nil {
			return 0, fmt.Errorf("selection of batch %s: %w", b.ID, err)
		}
		if done.Layer != replay.Readings.String() || !done.Selection.All() {
			continue
		}
		for _, u := range done.Units {
			if u.Stream == stream.Name && u.Created.Equal(stream.Created) {
				sequence = max(sequence, u.Until)
			}
		}
	}
	return sequence, nil
}
