package aggregator

import (
	"context"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/goldstore"
)

// parents keeps the hours and days of one partition. They only spare readers
// work, so that trouble with them is reported and holds up nothing.
type parents struct {
	Deps
	name      string
	partition uint32
}

func newParents(d Deps, partition int) *parents {
	p := &parents{Deps: d, name: fmt.Sprintf("%s.%d", Parents, partition), partition: uint32(partition)}
	p.Logger = d.Logger.With("stage", p.name)
	return p
}

// The bounds of how often a partition is looked over.
const (
	leastRound    = time.Second
	greatestRound = time.Minute
)

func (p *parents) run(ctx context.Context) error {
	round := time.NewTicker(min(max(p.ParentsQuiet/10, leastRound), greatestRound))
	defer round.Stop()
	for {
		err := p.roll(ctx)
		if ctx.Err() != nil {
			return nil
		}
		p.Report(p.name, err)
		if err != nil {
			p.Logger.WarnContext(ctx, "parents are not written", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-round.C:
		}
	}
}

// roll writes what is due, one partition of the process at a time: others need
// the store's connections more.
func (p *parents) roll(ctx context.Context) error {
	for {
		select {
		case p.ParentsTurn <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		roller := p.Store.NewRoller(p.partition, p.Catalogs.Newest(), goldstore.RollerConfig{Quiet: p.ParentsQuiet})
		rolled, err := roller.Roll(ctx)
		<-p.ParentsTurn
		if err != nil || rolled.Due == 0 {
			return err
		}
		p.Logger.DebugContext(ctx, "parents written",
			"due", rolled.Due, "written", rolled.Written, "held_seconds", rolled.Held.Seconds())
	}
}
