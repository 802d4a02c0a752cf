package decide

import (
	"context"
	"fmt"

	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// Rejudge has the readings of entries judged by the catalogue in force, and decodes
// what could not be decoded with the decoder of this build: from the message while
// its stream holds it, else from the payload that was kept of it.
func (d Deps) Rejudge(ctx context.Context, entries []goldstore.QuarantineEntry) (Result, error) {
	c := d.begin()
	var undecoded byMessage
	for i := range entries {
		e := &entries[i]
		switch {
		case e.State == goldstore.StateReleased, e.State == goldstore.StateJudgedAgain:
			c.Already++
		case e.Stamp.Stream == refusal.ForeignStream || e.Stage != stageSilver && e.Stage != stageIngest:
			c.refuse(e, "%s", notJudged(e))
		case e.Stage == stageSilver:
			c.rejudge(e)
		default:
			undecoded.add(e)
		}
		if err := c.sendFull(ctx); err != nil {
			return c.Result, err
		}
	}
	for _, of := range undecoded.entries {
		err := c.decode(ctx, of)
		if err == nil {
			err = c.sendFull(ctx)
		}
		if err != nil {
			return c.Result, err
		}
	}
	return c.Result, c.send(ctx)
}

// rejudge sends a reading on if the catalogue in force lets it pass, or has not
// judged it yet.
func (c *decision) rejudge(e *goldstore.QuarantineEntry) {
	fault := c.names(e)
	if fault == "" {
		j := c.bench(&e.Reading).Judge(e.Reading, e.Stamp, nil)
		if j.Accepted() || j.Epoch > e.Epoch {
			c.sendAgain(e.Reading, e.Stamp, nil)
			c.Done = append(c.Done, e.Key())
			return
		}
		fault = fmt.Sprintf("the catalogue in force refuses it as before: %s", j.Detail)
	}
	c.refuse(e, "%s", fault)
}
