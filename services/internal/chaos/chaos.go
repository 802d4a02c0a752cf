// Package chaos runs the platform as it runs in earnest, service processes against a
// nats-server process and a Postgres, feeds it what a simulated fleet sends, does to it
// what a [Fault] is named for, at random, and then asks whether it kept its promises.
//
// It promises, when [Run] returns no error:
//
//   - every reading that a producer was acknowledged by JetStream is stored in READINGS,
//     and each of those is in gold or in quarantine (invariant 4);
//   - gold.content equals, byte for byte, that of a second database which the same stored
//     READINGS were taken into without any disturbance, by a batch run or by a platform
//     that is left alone, see [Reference] (invariant 3);
//   - energy verify finds no difference either;
//   - gold's statistics per window are those that the fleet knows to be true;
//   - the janitor removed what all had read from BRONZE and SILVER, halfway and in the end,
//     unless an older tail brings it back;
//   - no service ended by itself, and none took more memory than [Config.MemoryLimit].
//
// Where the broker was restored to an older state, what was acknowledged since is gone:
// it is published again, as a producer would after a disaster, and gold, which had it
// before, is compared on gold.values, without the stamps of messages that are no more.
//
// What happens and in which order follows from the seed; how it falls in time does not.
//
// It fails with an error that says what was not kept, in the first place where it was
// not; the logs of all processes are in [Config.Dir].
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/fleet"
)

// Config says how large a run is and what happens in it.
type Config struct {
	// Dir is a folder for data and logs, reachable by all users: Postgres refuses root.
	Dir string
	// Binaries is the folder of the programs, see [rig.Build].
	Binaries string
	Seed     uint64
	Readings int // that the fleet takes, about
	Kills    int // SIGKILLs, of services, of the broker and of Postgres
	// Others is how often each other fault happens.
	Others int
	// OlderTails is how often the broker is restored to an older state.
	OlderTails int
	// Outage, if not 0, is how long Postgres is stopped under load.
	Outage time.Duration
	// Rate is how many readings are published a second at most; 0: as many as can be.
	Rate int
	// BothOwn runs two sets of services that all own all partitions, all the time.
	BothOwn bool
	// SyncAlways makes the broker sync every message before it acknowledges it.
	SyncAlways bool
	// Disk is the size of the disk under Postgres in bytes, which is a file system in
	// memory: only root can make one. 0: Postgres is in Dir, and its disk is not filled.
	Disk int64
	// MemoryLimit is how many bytes a service may take; 0: any.
	MemoryLimit int64
	// Patience bounds every wait; 0 is 5 minutes.
	Patience time.Duration
	// Reference computes gold anew; nil is [Batch].
	Reference Reference
	Logger    *slog.Logger
}

// defaultPatience bounds waits.
const defaultPatience = 5 * time.Minute

// Report is what a run did.
type Report struct {
	Seed       uint64
	Done       map[Fault]int // how often
	Left       map[Fault]string
	Acked      int               // messages acknowledged, duplicates and rubbish among them
	Lost       int               // of those, gone with an older tail and published again
	Refused    int               // publishes refused because READINGS was full
	Moved      int               // times that a service found its position moved by another owner
	Stored     int               // readings in READINGS
	InGold     int               // of those, whose content is in gold
	Quarantine int               // of those, in quarantine
	Rows       int               // of gold.content
	Swept      map[string]uint64 // messages that the janitor removed, by stream
	Memory     map[string]int64
	Took       time.Duration // from the first message to the end of catching up
}

// Write writes the report for people.
func (r *Report) Write(w io.Writer) {
	fmt.Fprintf(w, "seed %d: %d messages acknowledged in %s, %d refused for want of room, %d lost with an older tail\n",
		r.Seed, r.Acked, r.Took.Round(time.Second), r.Refused, r.Lost)
	fmt.Fprintf(w, "positions were moved by another owner %d times\n", r.Moved)
	fmt.Fprintf(w, "%d readings stored: %d in gold, %d in quarantine; %d rows equal those computed anew\n",
		r.Stored, r.InGold, r.Quarantine, r.Rows)
	for f := range faultCount {
		switch reason := r.Left[f]; {
		case reason != "":
			fmt.Fprintf(w, "  %-28s left out: %s\n", f, reason)
		case r.Done[f] > 0:
			fmt.Fprintf(w, "  %-28s %d\n", f, r.Done[f])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Swept)) {
		fmt.Fprintf(w, "  %-28s %d messages removed by the janitor\n", name, r.Swept[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Memory)) {
		fmt.Fprintf(w, "  %-28s %d MiB at most\n", name, r.Memory[name]>>20)
	}
}

// Run runs the platform under fire once.
func Run(ctx context.Context, c Config) (r *Report, err error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.Reference == nil {
		c.Reference = Batch
	}
	r = &Report{
		Seed: c.Seed, Done: make(map[Fault]int), Left: make(map[Fault]string), Swept: make(map[string]uint64),
		Memory: make(map[string]int64),
	}
	f, err := newFleet(c)
	if err != nil {
		return r, err
	}
	w, err := openWorld(ctx, c, r)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.close(context.WithoutCancel(ctx))) }()
	if err := w.fight(ctx, f); err != nil {
		return r, fmt.Errorf("seed %d: %w", c.Seed, err)
	}
	if err := w.judge(ctx, f); err != nil {
		return r, fmt.Errorf("seed %d: %w", c.Seed, err)
	}
	return r, nil
}

// newFleet returns meters that take about as many readings as are asked for, a minute
// apart, with much of everything that can happen to a reading.
func newFleet(c Config) (*fleet.Fleet, error) {
	const most = 100
	const aDay = 24 * 60
	config := fleet.Default()
	config.Seed, config.Cadence = c.Seed, time.Minute
	config.Series = min(max(c.Readings/aDay, 7), most)
	config.Days = max(c.Readings/(aDay*config.Series), 1)
	config.Shares.Duplicates, config.Shares.Late = 0.05, 0.03
	config.Shares.Malformed, config.Shares.Corrected, config.Shares.Withdrawn = 0.005, 0.01, 0.003
	return fleet.New(config)
}

// dice returns the random numbers of one purpose.
func dice(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }
