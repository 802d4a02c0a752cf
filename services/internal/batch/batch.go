// Package batch is a batch run: it replays a part of what a stream holds into gold.
//
// A run has two steps. It first reads what is selected and gathers the versions that
// this gives, on disk; nothing is written to gold meanwhile but what was refused.
// Then it works through the windows in order, each once, a few hundred in a
// transaction, in which also its record moves on. So the record says exactly what
// changed, whatever the run was killed by, and a run that is resumed reads again and
// goes on behind the last window that it has written.
//
// Merging is safe beside live traffic, since gold is a function of a set. A rebuild
// takes versions out: it has a partition for itself during a transaction. Neither
// moves the positions of the stages (invariant 22).
package batch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/job"
	"github.com/energy-platform/energy/services/internal/replay"
)

// Config is what a run does.
type Config struct {
	JetStream jetstream.JetStream
	Store     *goldstore.Store
	Logger    *slog.Logger

	Job    job.Job
	Plan   bool   // write nothing but the record
	Resume string // id of a run to go on with; Job and Plan are its own then

	// Dir is where versions are gathered, some 20 bytes each; empty is the system's
	// folder for temporary files.
	Dir string
	// BudgetBytes bounds the messages in memory; 0 is broker.DefaultBudget.
	BudgetBytes int64
	// MaxVersions bounds the versions in memory, for each partition that is worked on;
	// 0 is a quarter of a million.
	MaxVersions int
	// MaxLag is how far live readings may be behind before the run waits for them.
	MaxLag time.Duration
	// Patience is how long a rebuild waits for a stage that does not move to take in
	// what is on its way; 0 is a minute.
	Patience    time.Duration
	CodeVersion string
	// Progress is told how far the run is, Changed of each window that a plan would
	// change. Both may be nil; Changed may be called by several goroutines at a time.
	Progress func(Progress)
	Changed  func(*gold.Change)
}

// Recorded is the job of a run as its record keeps it.
type Recorded struct {
	job.Job
	Units []replay.Unit `json:"units"` // what the streams held when the run began
}

// Progress is how far a run is.
type Progress struct {
	ID   string
	Step string  // "read" or "write"
	Done float64 // share of the step
	// Waiting says that the run waits for live readings.
	Waiting bool
}

var (
	// ErrDone says that a run to be resumed is done.
	ErrDone = errors.New("the batch is done")
	// ErrOtherEpoch says that the catalogue has changed since a run began: half of gold
	// would have the judgements of one epoch, half those of another.
	ErrOtherEpoch = errors.New("the catalogue has changed since the batch began: run it anew")
)

// CanResume reports whether a run that failed with err can be gone on with: not where
// what it has to read is gone, or is judged otherwise.
func CanResume(err error) bool {
	return !errors.Is(err, replay.ErrNotHeld) && !errors.Is(err, broker.ErrStreamRecreated) &&
		!errors.Is(err, ErrOtherEpoch)
}

const (
	defaultMaxVersions = 1 << 18
	batchBytes         = 1 << 20
)

// run is one run at work.
type run struct {
	Config
	job      Recorded
	layer    replay.Layer
	record   goldstore.BatchRecord
	history  *epochs.History
	topology broker.Topology
	source   replay.Source
	feed     *broker.Publisher // nil: gold-aggregator does not keep this database
	gathered *replay.Gathering
	versions []uint64 // gathered, by partition
	pace     *pacer
	meter    meter
}

// Run runs a batch and returns its record. It returns replay.ErrNotHeld,
// ErrUnsettled, ErrDone, ErrOtherEpoch, goldstore.ErrNoBatch, and what broker and store
// fail with for good. A run that was
// stopped can be resumed.
func Run(ctx context.Context, c Config) (goldstore.BatchRecord, error) {
	if c.MaxVersions == 0 {
		c.MaxVersions = defaultMaxVersions
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	r := &run{Config: c, job: Recorded{Job: c.Job}}
	if err := r.open(ctx); err != nil {
		return r.record, err
	}
	err := r.begin(ctx)
	if err == nil {
		err = r.work(ctx)
	}
	if r.record.ID == "" {
		return r.record, err
	}
	return r.record, errors.Join(err, r.end(ctx, err))
}

// open loads what the run rests on.
func (r *run) open(ctx context.Context) (err error) {
	if r.topology, err = broker.Open(ctx, r.JetStream); err != nil {
		return err
	}
	live, err := r.live(ctx)
	if err != nil {
		return err
	}
	if live {
		if r.feed, err = broker.NewPublisher(r.JetStream, broker.PublisherConfig{}); err != nil {
			return err
		}
	}
	r.pace, err = newPacer(ctx, r.JetStream, r.Store, r.topology, r.MaxLag)
	return err
}

// judge loads the epochs by which the run judges. What it is to read has to be bounded
// before: an epoch that comes later has its markers behind all of that.
func (r *run) judge(ctx context.Context) error {
	store, err := broker.OpenEpochs(ctx, r.JetStream)
	if err != nil {
		return err
	}
	if r.history, err = epochs.LoadHistory(ctx, store); err != nil {
		return err
	}
	r.source.History = r.history
	for n := range r.history.Epochs.Len() {
		epoch, _ := r.history.Epochs.At(n + 1)
		if err := r.Store.RegisterEpoch(ctx, epoch); err != nil {
			return err
		}
	}
	return nil
}

// live reports whether gold-aggregator keeps this database: then its changes go to
// the GOLD feed.
func (r *run) live(ctx context.Context) (live bool, err error) {
	silver, err := broker.Stream(ctx, r.JetStream, broker.StreamSilver)
	if err != nil {
		return false, err
	}
	err = r.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
		positions, err := tx.Positions(ctx)
		for _, p := range positions {
			live = live || p.Stage == aggregator.Stage && p.ReadsFrom(silver.Name, silver.Created)
		}
		return err
	})
	return live, err
}

// begin makes the run's record, or loads that of the run to go on with.
func (r *run) begin(ctx context.Context) error {
	if r.Resume != "" {
		return r.resume(ctx)
	}
	var err error
	if err = r.aim(); err != nil {
		return err
	}
	// What is removed between the two, begins finds missing; what is removed behind it,
	// the hold.
	if r.job.Units, err = r.source.Units(ctx); err != nil {
		return err
	}
	if err = r.begins(ctx); err != nil {
		return err
	}
	if err := r.judge(ctx); err != nil {
		return err
	}
	kind := job.KindMerge
	switch {
	case r.Plan:
		kind = job.KindPlan
	case r.job.Rebuild:
		kind = job.KindRebuild
	}
	now := time.Now().UTC()
	b := goldstore.BatchRecord{
		ID: newID(now), Kind: kind, State: goldstore.BatchRunning,
		CodeVersion: r.CodeVersion, Epoch: r.history.Catalog().Epoch(), StartedAt: now,
	}
	if b.Selection, err = json.Marshal(r.job); err != nil {
		return err
	}
	err = r.retry(ctx, func() error { return r.Store.CreateBatch(ctx, &b, r.topology.Partitions) })
	if err != nil {
		return err
	}
	r.record = b
	return nil
}

// newID returns the id of a run that begins: they sort by time.
func newID(now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return now.Format("20060102T150405Z-") + hex.EncodeToString(b[:])
}

// aim makes the source of the job.
func (r *run) aim() (err error) {
	if r.layer, err = replay.ParseLayer(r.job.Layer); err != nil {
		return err
	}
	r.source = replay.Source{
		Reading: replay.Reading{
			JetStream: r.JetStream, Budget: broker.NewBudget(r.BudgetBytes), Logger: r.Logger,
			Limits: broker.BatchLimits{Bytes: batchBytes},
		},
		Topology: r.topology, Layer: r.layer, Selection: r.job.Selection, Releases: true,
	}
	return nil
}

// resume takes up the run of an id.
func (r *run) resume(ctx context.Context) error {
	err := r.Store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
		r.record, err = tx.Batch(ctx, r.Resume)
		return err
	})
	if err != nil {
		return err
	}
	if r.record.State == goldstore.BatchDone {
		r.record = goldstore.BatchRecord{}
		return fmt.Errorf("resume %s: %w", r.Resume, ErrDone)
	}
	if err := json.Unmarshal(r.record.Selection, &r.job); err != nil {
		return fmt.Errorf("resume %s: %w", r.Resume, err)
	}
	r.Plan, r.record.State, r.record.Error = r.record.Kind == job.KindPlan, goldstore.BatchRunning, ""
	if err := errors.Join(r.aim(), r.judge(ctx)); err != nil {
		return err
	}
	if began, now := r.record.Epoch, r.history.Catalog().Epoch(); began != now {
		err := r.pace.positions.LetGo(ctx, r.held(r.streams()...))
		r.record = goldstore.BatchRecord{} // it stays as it is
		return errors.Join(err,
			fmt.Errorf("resume %s, which began under epoch %d, under %d: %w", r.Resume, began, now, ErrOtherEpoch))
	}
	return nil
}

// hold calls what while the janitor keeps what the run has to read of a stream, or would
// read again when it is resumed. What is kept takes room that live readings may need:
// nothing is of a stream that has been read.
func (r *run) hold(ctx context.Context, stream string, what func(context.Context) error) error {
	err := r.pace.positions.Holding(ctx, r.held(stream), what)
	if errors.Is(err, broker.ErrRemoved) {
		err = fmt.Errorf("%w: %w", replay.ErrNotHeld, err)
	}
	return err
}

// held is what the run has to read of streams.
func (r *run) held(streams ...string) broker.Hold {
	h := broker.Hold{Reader: "batch." + r.record.ID, Again: CanResume}
	for i := range r.job.Units {
		if u := &r.job.Units[i]; u.After < u.Until && slices.Contains(streams, u.Stream) {
			h.Behind = append(h.Behind, broker.Position{Stream: u.Stream, Created: u.Created, Sequence: u.After})
		}
	}
	return h
}

// streams returns those that the run reads.
func (r *run) streams() (names []string) {
	for i := range r.job.Units {
		if name := r.job.Units[i].Stream; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// work takes the run through its steps.
func (r *run) work(ctx context.Context) (err error) {
	r.gathered, err = replay.NewGathering(r.Dir, r.topology.Partitions, func(s reading.Series) int {
		return int(reading.Partition(s.EntityID, uint32(r.topology.Partitions)))
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.gathered.Close()) }()
	if r.job.Rebuild {
		if r.source.Trail, err = replay.NewTrail(r.Dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.source.Trail.Close()) }()
	}
	began := time.Now()
	if err := r.read(ctx); err != nil {
		return err
	}
	if r.job.Rebuild {
		if err := r.rebuilds(ctx); err != nil {
			return err
		}
	}
	if err := r.update(ctx); err != nil {
		return err
	}
	r.time("read_seconds", began)
	began = time.Now()
	defer func() { r.time("write_seconds", began) }()
	return r.write(ctx)
}

func (r *run) time(step string, began time.Time) {
	if r.record.Timings == nil {
		r.record.Timings = make(map[string]float64)
	}
	r.record.Timings[step] += time.Since(began).Seconds()
}

// endTimeout bounds how long the record of a run that was stopped may take.
const endTimeout = 10 * time.Second

// end stores how the run ended.
func (r *run) end(ctx context.Context, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	switch {
	case failed == nil:
		r.record.State = goldstore.BatchDone
	case errors.Is(failed, context.Canceled):
		r.record.State = goldstore.BatchStopped
	default:
		r.record.State, r.record.Error = goldstore.BatchFailed, failed.Error()
	}
	return r.update(ctx)
}

// update stores the record as it is.
func (r *run) update(ctx context.Context) error {
	return r.retry(ctx, func() error { return r.Store.UpdateBatch(ctx, &r.record) })
}
