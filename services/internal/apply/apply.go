// Package apply puts an epoch of the catalogue into force and brings what is
// stored to it.
//
// The steps, each of which may be stopped anywhere and is taken up again by
// applying the same document:
//
//  1. The document becomes the next epoch, if it differs from the newest.
//  2. A marker in each partition of BRONZE makes all that follows be judged under
//     it. What stands before the first marker is judged again, and what was received
//     before the last of them, once ingest has passed it on, if the epoch changes how
//     readings of any metric are judged. So it follows from a reading's receive time
//     by which epochs it is judged in the end.
//  3. gold-aggregator takes in these judgements, and computes rows anew whose
//     metric has other parameters; this is waited for.
//  4. When no row is behind, the epoch is noted as applied.
package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/rejudge"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Deps is what applying works on.
type Deps struct {
	JetStream jetstream.JetStream
	Store     *goldstore.Store
	Logger    *slog.Logger
	// Progress is told when the epoch is in force, when readings were judged again,
	// what is then waited for, and at last how it ended. It may be nil.
	Progress func(Progress)
	// PlanVersions bounds the versions that a plan holds at a time; 0 is 400,000. What
	// is more is planned in further passes over BRONZE.
	PlanVersions int
}

// Progress is how far an epoch is applied.
type Progress struct {
	Epoch                         *catalog.Catalog
	Created                       bool            // whether the epoch was made for this document
	Changes                       catalog.Changes // since the epoch applied last
	Readings, Judgements, Refused uint64          // judged again, sent, and refused so far
	Unread                        int             // ingress streams that ingest has to read on in
	Waiting                       int             // partitions of gold that have not followed yet
	Behind                        uint64          // rows of metrics with other parameters that do not follow yet
	Made                          *Effect         // rows that were changed; nil before all is done
	Done                          bool
}

// ErrRewindow says that a document changes the base window of a metric that has
// rows. They would have to be cut anew, which is not done.
var ErrRewindow = errors.New("the base window of a metric with readings cannot change")

// Bounds of what applying takes of the broker.
const (
	budgetBytes = 64 << 20
	batchBytes  = 1 << 20
	linger      = 20 * time.Millisecond
	partitions  = 4 // judged again at a time
	pollEvery   = 200 * time.Millisecond
)

// Run applies a document. It returns catalog.Parse's error, with all faults, for
// one that is not a catalogue, and ErrRewindow; nothing is changed then.
func Run(ctx context.Context, d Deps, document []byte) (Progress, error) {
	a, err := open(ctx, d)
	if err != nil {
		return Progress{}, err
	}
	if err := a.epoch(ctx, document); err != nil {
		return a.at, err
	}
	applied, err := a.store.Applied(ctx)
	if err != nil {
		return a.at, err
	}
	a.at.Changes = a.at.Epoch.ChangedSince(applied)
	if applied < a.at.Epoch.Epoch() {
		if err := a.bring(ctx, applied); err != nil {
			return a.at, fmt.Errorf("apply catalogue epoch %d, which is in force; apply the same file again to go on: %w",
				a.at.Epoch.Epoch(), err)
		}
	}
	a.at.Done = true
	a.tell()
	return a.at, nil
}

// application is one run.
type application struct {
	Deps
	store    *broker.Epochs
	epochs   *epochs.Follower
	stages   stage.Deps
	topology broker.Topology
	at       Progress
}

func open(ctx context.Context, d Deps) (*application, error) {
	a := &application{Deps: d}
	var err error
	if a.topology, err = broker.Open(ctx, d.JetStream); err != nil {
		return nil, err
	}
	if a.store, err = broker.OpenEpochs(ctx, d.JetStream); err != nil {
		return nil, err
	}
	report := func(err error) {
		if err != nil {
			d.Logger.WarnContext(ctx, "the catalogue cannot be read", "error", err)
		}
	}
	if a.epochs, err = epochs.Follow(ctx, a.store, report, d.Logger); err != nil {
		return nil, err
	}
	a.stages = stage.Deps{
		JetStream: d.JetStream, Budget: broker.NewBudget(budgetBytes), Logger: d.Logger, Report: func(string, error) {},
	}
	if a.stages.Positions, err = broker.OpenPositions(ctx, d.JetStream); err != nil {
		return nil, err
	}
	a.stages.Publisher, err = broker.NewPublisher(d.JetStream, broker.PublisherConfig{})
	return a, err
}

// epoch makes the document the newest epoch, unless it is.
func (a *application) epoch(ctx context.Context, document []byte) error {
	for {
		all := a.epochs.All()
		a.at.Epoch = all.Newest()
		wanted, err := all.Append(time.Time{}, document)
		if err != nil {
			return err
		}
		if wanted.Newest().Hash() == all.Newest().Hash() {
			return nil
		}
		err = a.add(ctx, all.Newest(), wanted.Newest())
		if err != nil && !errors.Is(err, broker.ErrEpochExists) {
			return err
		}
		a.at.Created = err == nil
		if _, err := a.epochs.Await(ctx, wanted.Len()); err != nil {
			return err
		}
	}
}

// add puts an epoch into force. One that changes base windows is put while nothing
// can be stored, so that none of these metrics gets its first row meanwhile, and
// not at all if one has rows.
func (a *application) add(ctx context.Context, newest, wanted *catalog.Catalog) error {
	add := func() error { return a.store.Add(ctx, wanted.Epoch(), []byte(wanted.Document())) }
	names := wanted.Rewindowed(newest)
	if len(names) == 0 {
		return add()
	}
	change := func(stored map[string]time.Duration) error {
		if err := rewindowed(wanted, names, stored); err != nil {
			return err
		}
		return add()
	}
	return a.Store.Rewindow(ctx, a.topology.Partitions, wanted.Epoch(), names, change)
}

// bring brings what is stored from the applied epoch to the newest.
func (a *application) bring(ctx context.Context, applied uint64) error {
	a.tell()
	if len(a.at.Changes.Judged) > 0 || a.at.Changes.Undeclared {
		if err := a.rejudge(ctx, applied); err != nil {
			return err
		}
		a.tell()
	}
	if err := a.await(ctx); err != nil {
		return err
	}
	var err error
	if a.at.Made, err = a.made(ctx, applied); err != nil {
		return err
	}
	return a.store.SetApplied(ctx, a.at.Epoch.Epoch())
}

// rejudge judges again what stands in BRONZE before the epoch's markers, and what was
// received before the last of them.
func (a *application) rejudge(ctx context.Context, applied uint64) error {
	epoch := a.at.Epoch
	marks, err := a.marks(ctx, epoch.Epoch(), applied)
	if err != nil {
		return err
	}
	since, err := a.since(ctx, applied)
	if err != nil {
		return err
	}
	err = a.follow(ctx, rejudge.Job{
		Epochs:   a.epochs.All().Until(epoch.Epoch()),
		Selected: func(metric string) bool { return epoch.JudgedSince(metric, applied) },
		Marks:    marks,
		Since:    since,
		Limits:   broker.BatchLimits{Bytes: batchBytes, Linger: linger},
	})
	if err != nil {
		return err
	}
	return a.count(ctx)
}

// follow does a job as far as BRONZE reaches, again and again until ingest has passed on
// what was received before the last marker. It must not wait for that first: the
// janitor keeps in BRONZE what is to be judged again, and ingest would wait for the
// room.
func (a *application) follow(ctx context.Context, j rejudge.Job) error {
	published, err := a.published(ctx)
	if err != nil {
		return err
	}
	done := make([]uint64, a.topology.Partitions)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if len(j.Marks.Ends) == 0 {
			if a.at.Unread, err = a.unread(ctx, published); err != nil {
				return err
			}
		}
		// Behind that: what ingest has passed on is before the ends.
		ends, err := a.ends(ctx, &j.Marks)
		if err != nil {
			return err
		}
		if err := a.upTo(ctx, j, done, ends); err != nil {
			return err
		}
		if len(j.Marks.Ends) > 0 {
			return nil
		}
		a.tell()
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for ingest, which has to read on in %d streams: %w", a.at.Unread, ctx.Err())
		case <-tick.C:
		}
	}
}

// upTo does a job up to the ends of partitions, where they are not done up to there.
func (a *application) upTo(ctx context.Context, j rejudge.Job, done, ends []uint64) error {
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(partitions)
	for partition, end := range ends {
		if done[partition] >= end {
			continue
		}
		g.Go(func() error {
			err := rejudge.Run(working, a.stages, j, partition, end)
			if err == nil {
				err = working.Err() // a run that was told to stop says nothing of it
			}
			done[partition] = end
			return err
		})
	}
	return g.Wait()
}

// count adds up what was judged again.
func (a *application) count(ctx context.Context) error {
	kept, err := a.stages.Positions.List(ctx)
	if err != nil {
		return err
	}
	for key, position := range kept {
		if rejudge.Of(a.at.Epoch.Epoch(), key) {
			a.at.Readings += position.Counts.In
			a.at.Judgements += position.Counts.Out
			a.at.Refused += position.Counts.Quarantined
		}
	}
	return nil
}

func (a *application) tell() {
	if a.Progress != nil {
		a.Progress(a.at)
	}
}
