// Package verify recomputes gold from what a stream holds and compares the two,
// byte for byte.
//
// Rows and positions are read in one snapshot. A reading that lies behind all
// positions must be in gold, or in quarantine; one that may still be on its way may
// be. Everything else is a difference. A version of gold that the source does not give
// is one only if the stream holds the message that it came with: what was removed, also
// meanwhile, what a broker lost that was restored to an older state, and what this build
// fails over, cannot be checked and is counted.
package verify

import (
	"context"
	"errors"
	"log/slog"
	"math"

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

// Config is what to verify.
type Config struct {
	JetStream jetstream.JetStream
	Store     *goldstore.Store
	Logger    *slog.Logger
	Layer     replay.Layer
	// Dir is where what gold must hold is gathered, some 20 bytes a reading; empty is
	// the system's folder for temporary files.
	Dir string
	// MaxVersions bounds the versions in memory at a time, a window's apart; 0 is a
	// million.
	MaxVersions int
	// MaxPending bounds what is told apart of readings that are on their way, in runs of
	// messages of 16 bytes each; 0 is a million. Above it all behind the first of a
	// partition count as such, and are not checked.
	MaxPending int
	// BudgetBytes bounds the messages in memory; 0 is broker.DefaultBudget.
	BudgetBytes int64
	// Differs is told of each row that differs, Orphan of each with versions whose
	// message the stream lost, Lost of each refusal that gold.quarantine does not have.
	Differs func(*Difference)
	Orphan  func(*Difference)
	Lost    func(*goldstore.QuarantineRow)
	// Began, if not nil, is told of the steps: reading the source, and comparing.
	Began func(Step)
}

// Step is a step of verifying.
type Step string

// The steps.
const (
	StepRead    Step = "read"
	StepCompare Step = "compare"
)

// Report is what was found.
type Report struct {
	Layer        replay.Layer `json:"layer"`
	Epoch        uint64       `json:"epoch"`
	Readings     uint64       `json:"readings"`     // read
	Rows         uint64       `json:"rows"`         // compared
	Refused      uint64       `json:"refused"`      // looked up in gold.quarantine
	Pending      uint64       `json:"pending"`      // versions and refusals that may still be on their way
	Untold       uint64       `json:"untold"`       // those that may be because more is on its way than is told apart
	Unsettled    uint64       `json:"unsettled"`    // those of metrics whose newest rules are not applied to all yet
	Failed       uint64       `json:"failed"`       // readings over which this build fails, which is a bug
	Unverifiable uint64       `json:"unverifiable"` // rows with versions of these, or of readings that were removed
	Orphans      uint64       `json:"orphans"`      // rows with versions whose reading the stream lost, in its tail
	Behind       uint64       `json:"behind"`       // rows that an epoch computes otherwise which was not applied to them
	Differences  uint64       `json:"differences"`  // rows that differ
	Lost         uint64       `json:"lost"`         // refusals that are not in gold.quarantine
	// Uncovered says that neither gold-aggregator nor a batch run of all readings under
	// the rules in force tells what the database must hold: then only what it does hold
	// is checked.
	Uncovered bool `json:"uncovered"`
}

// OK reports whether gold is what the source gives.
func (r *Report) OK() bool { return r.Differences == 0 && r.Lost == 0 }

// ErrCatalogMoved says that the catalogue changed meanwhile.
var ErrCatalogMoved = errors.New("an epoch of the catalogue came into force or was applied meanwhile: verify again")

// Kinds of versions.
const (
	required = iota // gold must hold them
	optional        // gold may hold them
	kinds
)

// What is gathered is kept in files by ranges of the series' ids, in whose order gold
// is read.
const (
	bucketBits = 6
	buckets    = 1 << bucketBits
	bucketSpan = 1 << (63 - bucketBits) // ids in a bucket; an id has 63 bits
)

const (
	defaultMaxVersions = 1 << 20
	defaultMaxPending  = 1 << 20
	batchBytes         = 4 << 20
)

// attempts bounds how often a snapshot is taken whose tails are removed meanwhile.
const attempts = 3

// Run verifies. A difference is no error: see Report.OK.
func Run(ctx context.Context, c Config) (report Report, err error) {
	if c.MaxVersions == 0 {
		c.MaxVersions = defaultMaxVersions
	}
	if c.MaxPending == 0 {
		c.MaxPending = defaultMaxPending
	}
	for attempt := 1; ; attempt++ {
		report, err = once(ctx, c)
		if attempt == attempts || !errors.Is(err, ErrRemoved) {
			return report, err
		}
	}
}

func once(ctx context.Context, c Config) (report Report, err error) {
	v := &verification{Config: c, reading: replay.Reading{
		JetStream: c.JetStream, Budget: broker.NewBudget(c.BudgetBytes), Logger: c.Logger,
		Limits: broker.BatchLimits{Bytes: batchBytes},
	}}
	if v.topology, err = broker.Open(ctx, c.JetStream); err != nil {
		return report, err
	}
	catalogs, err := broker.OpenEpochs(ctx, c.JetStream)
	if err != nil {
		return report, err
	}
	v.gathered, err = replay.NewGathering(c.Dir, buckets, func(s reading.Series) int {
		return int(goldstore.SeriesID(s) / bucketSpan)
	})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, v.gathered.Close()) }()
	if v.trail, err = replay.NewTrail(c.Dir); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, v.trail.Close()) }()
	known, err := epochs.LoadHistory(ctx, catalogs)
	if err != nil {
		return report, err
	}
	if err := v.stages(ctx); err != nil {
		return report, err
	}
	err = c.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
		v.tx = tx
		if err := tx.Hold(ctx); err != nil {
			return err
		}
		if v.history, err = epochs.LoadHistory(ctx, catalogs); err != nil {
			return err
		}
		if known.Epochs.Len() != v.history.Epochs.Len() || known.Applied != v.history.Applied {
			return ErrCatalogMoved
		}
		return v.run(ctx)
	})
	return v.report, err
}

// verification is one run.
type verification struct {
	Config
	reading  replay.Reading
	topology broker.Topology
	history  *epochs.History
	tx       *goldstore.ReadTx
	gathered *replay.Gathering
	trail    *replay.Trail
	report   Report
	coverage coverage
	origins  origins
	groups   [kinds]*gold.Collector
}

func (v *verification) run(ctx context.Context) error {
	v.report.Layer, v.report.Epoch = v.Layer, v.history.Catalog().Epoch()
	for kind := range v.groups {
		v.groups[kind] = gold.NewCollector(v.history.Catalog())
	}
	if err := v.cover(ctx); err != nil {
		return err
	}
	v.began(StepRead)
	if err := v.gather(ctx); err != nil {
		return err
	}
	v.began(StepCompare)
	for n := range buckets {
		from := goldstore.RowKey{SeriesID: int64(n) * bucketSpan, Start: math.MinInt64 / 4}
		to := goldstore.RowKey{SeriesID: from.SeriesID + (bucketSpan - 1), Start: math.MaxInt64 / 2}
		if err := v.bucket(ctx, n, from, to); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) began(s Step) {
	if v.Began != nil {
		v.Began(s)
	}
}

// source is what gold is recomputed from. What came later than the tails were looked at
// is in no snapshot.
func (v *verification) source() replay.Source {
	return replay.Source{
		Reading: v.reading, Topology: v.topology, History: v.history, Layer: v.Layer, Releases: true,
		Selection: job.Selection{LastSequence: v.coverage.end(v.Layer)}, Trail: v.trail,
	}
}

// gather reads the source and keeps what gold must and may hold.
func (v *verification) gather(ctx context.Context) error {
	source := v.source()
	units, err := source.Units(ctx)
	if err != nil {
		return err
	}
	units = v.coverage.batches.Split(units)
	for i := range units {
		if err := source.Each(ctx, &units[i], 0, func(b *replay.Batch) error { return v.take(ctx, b) }); err != nil {
			return err
		}
	}
	v.origins = origins{
		js: v.JetStream, layer: v.Layer, partitions: v.topology.Partitions, trail: v.trail, known: make(map[message]origin),
	}
	v.origins.streams, err = v.statuses(ctx)
	return err
}

// take gathers what a batch gives.
func (v *verification) take(ctx context.Context, b *replay.Batch) error {
	var refused []goldstore.QuarantineRow
	for p := range b.Parts {
		part := &b.Parts[p]
		v.report.Readings += part.Readings
		for _, silver := range part.Silver {
			for series, version := range silver.Versions() {
				v.groups[v.kind(b, p, series.Metric, &version)].Add(series, version)
			}
		}
		for _, batch := range part.Poison {
			v.report.Failed += uint64(batch.Len()) // what became of it nobody can tell
		}
		for _, batch := range part.Refused {
			for _, row := range aggregator.QuarantineRows(batch) {
				if v.looksUp(b, p, &row) {
					refused = append(refused, row)
				}
			}
		}
	}
	for kind := range v.groups {
		if err := v.gathered.Add(byte(kind), v.groups[kind].Take()); err != nil {
			return err
		}
	}
	return v.lookUp(ctx, refused)
}

// kind tells whether gold must or may hold a version.
func (v *verification) kind(b *replay.Batch, part int, metric string, version *gold.Version) int {
	if v.checks(v.coverage.where(b, b.Partition(part), version.Stamp, version.Waived), metric, version.Stamp) {
		return required
	}
	return optional
}

// looksUp tells whether the quarantine must have a refusal.
func (v *verification) looksUp(b *replay.Batch, part int, row *goldstore.QuarantineRow) bool {
	at := v.coverage.where(b, b.Partition(part), row.Stamp, b.Unit.Releases)
	if v.coverage.live {
		at = max(at, v.coverage.quarantined.has(row.Stamp))
	}
	return v.checks(at, row.Reading.Metric, row.Stamp)
}

// checks tells whether what became of a reading can be checked, and counts it if not.
func (v *verification) checks(at whereabouts, metric string, s reading.Stamp) bool {
	switch {
	case at == underway:
		v.report.Pending++
	case at == untold:
		v.report.Untold++
	case !v.history.Settled(metric, s.Received):
		v.report.Unsettled++
	default:
		return true
	}
	return false
}

// lookUp finds refusals that gold.quarantine does not have.
func (v *verification) lookUp(ctx context.Context, rows []goldstore.QuarantineRow) error {
	v.report.Refused += uint64(len(rows))
	if len(rows) == 0 {
		return nil
	}
	missing, err := v.tx.MissingRefusals(ctx, rows)
	if err != nil {
		return err
	}
	for i := range missing {
		v.report.Lost++
		v.Lost(&missing[i])
	}
	return nil
}
