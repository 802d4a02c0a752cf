package janitor

import (
	"context"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
)

// listing is the positions as they were when all that they rest on had
// been acknowledged, over one connection.
type listing struct {
	at   time.Time // or earlier
	over broker.Sweeper
	kept map[string]broker.Position
}

// settled takes in how far the stages are, and returns how far they were when what the
// broker had acknowledged by then cannot be lost any more, whatever becomes of its
// machine. What was listed over another connection may be of a broker that has lost it.
//
// A sync is due after that time, and then takes some more.
func (j *janitor) settled(ctx context.Context, now listing) map[string]broker.Position {
	if len(j.seen) > 0 && j.seen[0].over != now.over {
		j.seen = nil
	}
	if len(j.seen) == 0 || !j.told {
		synced, err := j.Synced(ctx)
		if j.told = err == nil; !j.told { // more likely than not it is as it was
			synced = max(synced, j.synced)
		}
		j.synced = synced
	}
	j.seen = append(j.seen, now)
	for i, l := range slices.Backward(j.seen) {
		if now.at.Sub(l.at) >= j.synced+j.synced/4 {
			j.seen = j.seen[i:]
			return l.kept
		}
	}
	return nil
}
