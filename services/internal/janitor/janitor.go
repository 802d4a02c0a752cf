// Package janitor removes from the streams what every reader has read and nobody
// replays any more, so that they never become full of history.
//
// It promises: what some reader has not read is never removed, however old it is and
// however full the stream (invariant 19). What all have read is kept for the horizon;
// where a stream comes near its limit, for less, but until what became of it is on the
// broker's disk. It is the only one that removes anything, and so the only one that needs
// the permission to purge.
//
// It runs under a lease. Two at a time do no harm: a position that is read too early
// only keeps more.
package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/rejudge"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Name of the role in leases and health.
const Name = "janitor"

// Stream is what streams are called in health: "stream READINGS".
const Stream = "stream"

// From Shrink on less history is kept than the horizon asks for, down to Ease. Both are
// below Alarm, which so tells of what is unread.
const (
	Alarm  = 0.80
	Shrink = 0.75
	Ease   = 0.70
)

// Deps is what the janitor works on.
type Deps struct {
	JetStream jetstream.JetStream
	Positions *broker.Positions
	Epochs    *broker.Epochs
	Store     *goldstore.Store
	Topology  broker.Topology
	// Horizon is how long what was read is kept.
	Horizon time.Duration
	// Synced tells how long the broker may have what it acknowledged in memory only. What
	// was read is kept, whatever the horizon, until that has passed since. It is asked
	// with each connection: the broker behind it may have been given other settings. With
	// an error the broker did not answer: the longer of what it returns and what it has
	// said before is taken for granted, and it is asked again.
	Synced func(context.Context) (time.Duration, error)
	// Every is between two rounds.
	Every  time.Duration
	Logger *slog.Logger
	// Report tells how a component is, nil for well; Note says something of one that is
	// well; Forget drops one.
	Report func(component string, trouble error)
	Note   func(component, detail string)
	Forget func(component string)
}

// Run sweeps all streams, again and again, until ctx ends.
func Run(ctx context.Context, d Deps) error {
	j := &janitor{Deps: d, alarmed: make(map[string]bool)}
	defer j.leave()
	round := time.NewTicker(d.Every)
	defer round.Stop()
	for {
		j.sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-round.C:
		}
	}
}

type janitor struct {
	Deps
	alarmed map[string]bool // streams that are reported
	seen    []listing       // as far back as is needed, over one connection
	synced  time.Duration   // of the broker behind that
	told    bool            // by the broker, if it can be asked
}

// sweep goes one round, and reports what was in the way.
func (j *janitor) sweep(ctx context.Context) {
	if err := j.round(ctx); err != nil && ctx.Err() == nil {
		j.Report(Name, err)
		j.Logger.WarnContext(ctx, "streams are not swept", "error", err)
	}
}

// round sweeps each stream once, whatever becomes of the others.
func (j *janitor) round(ctx context.Context) error {
	sweeper := broker.NewSweeper(j.JetStream)
	marks, err := j.marks(ctx, sweeper)
	if err != nil {
		return fmt.Errorf("all streams keep their history, since it cannot be told what was read: %w", err)
	}
	var (
		said   []string
		faults []error
	)
	for _, stream := range j.streams() {
		keep := broker.Keep{Age: j.Horizon, Shrink: Shrink, Ease: Ease}
		if stream == broker.StreamQuarantine {
			keep.Age = asLongAsThereIsRoom
		}
		s, err := sweeper.Sweep(ctx, stream, marks[stream], keep)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s keeps its history: %w", stream, err))
			continue
		}
		if s.Removed > 0 {
			j.Logger.InfoContext(ctx, "stream swept", "stream", stream, "messages", s.Removed,
				"first", s.FirstSequence, "full", s.Fill(), "shrunk", s.Shrunk)
		}
		j.alarm(&s)
		said = append(said, describe(&s))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	j.Note(Name, fmt.Sprintf("what was read is kept for %s: %s", j.Horizon, strings.Join(said, "; ")))
	return nil
}

// asLongAsThereIsRoom is how long refusals and what was decided on them stay in their
// stream, from which their states can be made anew. They are few.
const asLongAsThereIsRoom = 100 * 365 * 24 * time.Hour

// streams are those that are swept. GOLD is limited by age.
func (j *janitor) streams() (names []string) {
	for n := range j.Topology.IngressShards {
		names = append(names, broker.IngressStream(n))
	}
	return append(names, broker.StreamBronze, broker.StreamSilver, broker.StreamQuarantine)
}

// describe says how full a stream is and how far back it reaches.
func describe(s *broker.Swept) string {
	text := s.Name + " is empty"
	if s.Messages > 0 {
		text = fmt.Sprintf("%s %.0f %% full, back to %s", s.Name, 100*s.Fill(), s.FirstTime.UTC().Format(time.RFC3339))
	}
	if s.Shrunk {
		text += " only, for want of room"
	}
	return text
}

// alarm reports a stream that is nearly full, and takes that back.
func (j *janitor) alarm(s *broker.Swept) {
	component := Stream + " " + s.Name
	if s.Fill() < Alarm {
		j.Forget(component)
		delete(j.alarmed, s.Name)
		return
	}
	j.alarmed[s.Name] = true
	held := "a single message takes all of it"
	switch {
	case s.Holder == "" && s.Messages > 1:
		held = fmt.Sprintf("all is read, and what became of it may be lost until the broker has synced it, within %s",
			j.synced)
	case s.Holder != "":
		held = fmt.Sprintf("%s has not read %d messages from %d on", s.Holder, s.LastSequence-s.Unread+1, s.Unread)
	}
	j.Report(component, fmt.Errorf("%s is %.0f %% full of %d bytes; when it is full, who publishes to it is refused: %s",
		s.Name, 100*s.Fill(), s.MaxBytes, held))
}

// leave takes back what was reported: the next janitor says how it is.
func (j *janitor) leave() {
	for stream := range j.alarmed {
		j.Forget(Stream + " " + stream)
	}
	j.Forget(Name)
}

// marks returns the readers of each stream and how far they are.
func (j *janitor) marks(ctx context.Context, sweeper broker.Sweeper) (map[string][]broker.ReadMark, error) {
	created := make(map[string]time.Time)
	for _, name := range j.streams() {
		s, err := broker.Stream(ctx, j.JetStream, name)
		if err != nil {
			return nil, err
		}
		created[name] = s.Created
	}
	epochs, err := j.pending(ctx, created[broker.StreamBronze])
	if err != nil {
		return nil, err
	}
	kept, err := j.list(ctx, epochs)
	if err != nil {
		return nil, err
	}
	r := readers{
		kept: kept, settled: j.settled(ctx, listing{time.Now(), sweeper, kept}), created: created,
		partitions: j.Topology.Partitions, known: make(map[string]bool), marks: make(map[string][]broker.ReadMark),
	}
	r.stages(j.Topology.IngressShards)
	r.rejudged(epochs)
	r.others(time.Now())
	return r.marks, nil
}

// list returns the positions, as far as what they rest on is there. A stage whose output
// was lost goes back when it is told, which may be later.
func (j *janitor) list(ctx context.Context, epochs []pending) (map[string]broker.Position, error) {
	kept, err := j.Positions.List(ctx)
	if err != nil {
		return nil, err
	}
	for key, p := range kept {
		past := !slices.ContainsFunc(epochs, func(e pending) bool { return rejudge.Of(e.number, key) })
		if len(p.Outputs) == 0 || strings.HasPrefix(key, stage.RejudgeKeys) && past {
			continue
		}
		if kept[key], _, err = broker.Verify(ctx, j.JetStream, p); err != nil {
			return nil, fmt.Errorf("position %s: %w", key, err)
		}
	}
	return kept, j.stored(ctx, kept)
}

// stored adds the positions that are in Postgres. What became of what they cover is there
// too, but for what was refused: that is in QUARANTINE.
func (j *janitor) stored(ctx context.Context, kept map[string]broker.Position) error {
	var positions []goldstore.Position
	err := j.Store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
		positions, err = tx.Positions(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range positions {
		gold := p.Stage == aggregator.Stage && int(p.Partition) < j.Topology.Partitions && p.Stream == broker.StreamSilver
		if !gold && (p.Stage != aggregator.QuarantineStage || p.Stream != broker.StreamQuarantine) {
			continue // of none that reads, or not begun
		}
		key := stage.PositionKey(p.Stage, int(p.Partition))
		if kept[key], _, err = aggregator.Verify(ctx, j.JetStream, p); err != nil {
			return fmt.Errorf("position %s: %w", key, err)
		}
	}
	return nil
}

// pending is an epoch that is not applied and has marks in BRONZE.
type pending struct {
	number uint64
	marks  broker.Marks
}

// pending returns the newest of them. It judges again what those before it would, but
// does so only when it is known where its markers are: until then the newest that has
// such ones holds what it has to read.
func (j *janitor) pending(ctx context.Context, bronze time.Time) (hold []pending, err error) {
	applied, err := j.Epochs.Applied(ctx)
	if err != nil {
		return nil, err
	}
	epochs, err := j.Epochs.After(ctx, applied)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(epochs) {
		marks, _, err := j.Epochs.Marks(ctx, e.Number)
		if err != nil {
			return nil, err
		}
		known := len(marks.Sequences) > 0
		if marks.Created.Equal(bronze) && (known || len(hold) == 0) { // else of a stream that is no more, or none
			hold = append(hold, pending{e.Number, marks})
		}
		if len(hold) > 0 && len(hold[len(hold)-1].marks.Sequences) > 0 {
			return hold, nil
		}
	}
	return hold, nil
}
