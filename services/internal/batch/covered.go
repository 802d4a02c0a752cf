package batch

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

// Coverage is what batch runs have brought into gold of all that the streams held, by
// the names of their units.
type Coverage map[string]extent

// extent is up to which sequence a run has read a unit, and when it had.
type extent struct {
	until    uint64
	finished int64 // Unix ns
}

// Has reports whether a run has brought the message at a sequence of a unit into gold.
// One that was received later is another, which has its place since the stream lost its
// tail.
func (c Coverage) Has(unit string, sequence uint64, received int64) bool {
	e, ok := c[unit]
	return ok && sequence <= e.until && received <= e.finished
}

// Split divides units where what is covered of them ends.
func (c Coverage) Split(units []replay.Unit) (parts []replay.Unit) {
	for _, u := range units {
		if until := c[u.Name].until; u.After < until && until < u.Until {
			covered := u
			covered.Until, u.After = until, until
			parts = append(parts, covered)
		}
		parts = append(parts, u)
	}
	return parts
}

// Covered returns what runs cover that are done. A run counts for the streams that it
// has read, as they are told by when they were made, and if judgements are those of its
// epoch still.
func Covered(
	records []goldstore.BatchRecord, created map[string]time.Time, current func(epoch uint64) bool,
) (Coverage, error) {
	c := make(Coverage)
	for i := range records {
		b := &records[i]
		if b.State != goldstore.BatchDone || b.Kind == job.KindPlan || !current(b.Epoch) {
			continue
		}
		var done Recorded
		if err := json.Unmarshal(b.Selection, &done); err != nil {
			return nil, fmt.Errorf("selection of batch %s: %w", b.ID, err)
		}
		if !done.Selection.All() {
			continue
		}
		for _, u := range done.Units {
			if u.Created.Equal(created[u.Stream]) && u.Until >= c[u.Name].until {
				c[u.Name] = extent{u.Until, b.FinishedAt.UnixNano()}
			}
		}
	}
	return c, nil
}
