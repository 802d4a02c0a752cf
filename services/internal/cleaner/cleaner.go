// Package cleaner is the service that judges bronze and passes on as silver
// what counts.
package cleaner

import (
	"context"
	"fmt"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Stage is the name of this stage in positions and quarantine.
const Stage = "silver"

// maxBenches bounds the judges kept ready for names seen before.
const maxBenches = 1 << 16

// Catalogs gives the catalogue to judge by.
type Catalogs interface {
	// Newest returns the newest epoch known.
	Newest() *catalog.Catalog
	// Await returns the newest epoch once it is that one or a later.
	Await(ctx context.Context, epoch uint64) (*catalog.Catalog, error)
	// History tells under which epochs what comes back from quarantine is judged.
	History(ctx context.Context) (*epochs.History, error)
}

// Cleaner judges the bronze of one partition by the newest epoch of the catalogue: the
// one that is known when a batch begins or, if that is later, the one that a marker in
// bronze asks for. What was decoded late, or comes back from quarantine, was received
// before the marker behind which it stands: it is judged under all epochs, as it would
// have been had it stood there (invariant 21). It is used by one goroutine.
type Cleaner struct {
	catalogs Catalogs
	judge    *silver.Judge
	benches  map[reading.Series]*silver.Bench
	history  *epochs.History // as it is for this batch; nil: not asked for yet
	court    court
	out      *output
}

// New returns a cleaner of a partition.
func New(partition int, catalogs Catalogs) *Cleaner {
	c := &Cleaner{catalogs: catalogs, out: newOutput(partition)}
	c.follow(catalogs.Newest())
	return c
}

// follow makes the cleaner judge by a catalogue from here on.
func (c *Cleaner) follow(newest *catalog.Catalog) {
	if c.judge == nil || c.judge.Catalog() != newest {
		c.judge, c.benches = silver.NewJudge(newest), make(map[reading.Series]*silver.Bench)
	}
}

// Clean returns the silver and quarantine messages of a batch.
func (c *Cleaner) Clean(ctx context.Context, messages []broker.Message) (stage.Output, error) {
	c.follow(c.catalogs.Newest())
	c.history = nil
	for i := range messages {
		if err := c.message(ctx, &messages[i]); err != nil {
			return stage.Output{}, err
		}
	}
	return c.out.take()
}

func (c *Cleaner) message(ctx context.Context, m *broker.Message) error {
	batch, err := wire.DecodeBronze(m.Data)
	if err != nil {
		c.out.counts.In++
		c.out.refuse(reading.Undecodable, 0, refusal.Foreign(m, err))
		return nil
	}
	if epoch := batch.Epoch(); epoch > c.judge.Catalog().Epoch() {
		newest, err := c.catalogs.Await(ctx, epoch)
		if err != nil {
			return fmt.Errorf("message %d: %w", m.Sequence, err)
		}
		c.follow(newest)
		c.history = nil // it knows as little
	}
	benches := make([]*silver.Bench, len(batch.Series))
	for i, names := range batch.Series {
		benches[i] = c.bench(names)
	}
	again, activated := batch.Again(), c.judge.Catalog().Activated().UnixNano()
	for row := range batch.Rows() {
		c.out.counts.In++
		if again || row.Stamp.Received < activated {
			if err := c.late(ctx, m, &row, batch); err != nil {
				return fmt.Errorf("message %d: %w", m.Sequence, err)
			}
			continue
		}
		judgement := benches[row.Series].Judge(row.Reading, row.Stamp, row.Waived)
		if judgement.Accepted() {
			c.out.pass(&judgement)
		} else {
			c.out.refuseJudged(&judgement)
		}
	}
	return nil
}

// late judges a reading that the epoch's markers may have come before although it was
// received before them. The quarantine is told what becomes of one that was there.
func (c *Cleaner) late(ctx context.Context, m *broker.Message, row *wire.BronzeRow, batch *wire.Bronze) (err error) {
	if c.history == nil {
		if c.history, err = c.catalogs.History(ctx); err != nil {
			return err
		}
		if c.court.epochs.Len() != c.history.Epochs.Len() {
			c.court = newCourt(c.history.Epochs, c.out)
		}
	}
	names, again := batch.Series[row.Series], batch.Again()
	if again {
		c.out.counts.Again++
	}
	h := c.court.hearing(names)
	if received(m, row) < nanos(c.history.HeardBefore(names.Metric)) {
		// Out counts judgements: gold takes in as many.
		c.out.counts.Out += c.court.hear(h, row, c.history.Epochs.Len(), again)
		return nil
	}
	judgement := h.Newest().Judge(row.Reading, row.Stamp, row.Waived)
	switch {
	case !judgement.Accepted():
		c.out.refuseJudged(&judgement)
	case again:
		c.out.resolve(&judgement, row.Waived)
		fallthrough
	default:
		c.out.pass(&judgement)
	}
	return nil
}

// bench returns the judge of these names, made once while they keep coming.
func (c *Cleaner) bench(names reading.Series) *silver.Bench {
	if b, ok := c.benches[names]; ok {
		return b
	}
	if len(c.benches) >= maxBenches {
		clear(c.benches)
	}
	b := c.judge.Bench(names.EntityID, names.Metric, names.Unit)
	if b.Fit() { // names that are refused may be long, and are not worth keeping
		c.benches[names] = b
	}
	return b
}
