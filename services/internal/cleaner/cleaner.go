// Package cleaner is the service that judges bronze and passes on as silver
// what counts.
package cleaner

import (
	"context"
	"fmt"

	"github.com/energy-platform/energy/pkg/broker"
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

// Catalogs gives the epochs of the catalogue to judge by: those that a process knows, or
// an [epochs.History] for those that it has.
type Catalogs interface {
	// Renew takes in the epochs that there are by now.
	Renew(ctx context.Context) error
	// Known returns the epochs once that one is among them, and by which of them readings
	// are judged.
	Known(ctx context.Context, epoch uint64) (*epochs.History, error)
}

// Cleaner judges the bronze of one partition by the epochs of the catalogue: those that
// are known when a batch begins, at the first all that there are, and, if that is later,
// the one that a marker in bronze asks for. A reading that was received before the markers of the epoch that judges it
// otherwise is judged under all epochs, wherever it stands: it may have been decoded late,
// or come back from quarantine. Another is judged under the newest (invariant 21). It is
// used by one goroutine.
type Cleaner struct {
	catalogs Catalogs
	history  *epochs.History  // as it is for this batch
	before   map[string]int64 // what that says of metrics
	judge    *silver.Judge
	benches  map[reading.Series]*silver.Bench
	court    court
	out      *output
}

// New returns a cleaner of a partition.
func New(partition int, catalogs Catalogs) *Cleaner {
	return &Cleaner{catalogs: catalogs, out: newOutput(partition)}
}

// Clean returns the silver and quarantine messages of a batch. Out counts judgements:
// gold takes in as many.
func (c *Cleaner) Clean(ctx context.Context, messages []broker.Message) (stage.Output, error) {
	if err := c.follow(ctx, 0); err != nil {
		return stage.Output{}, err
	}
	for i := range messages {
		if err := c.message(ctx, &messages[i]); err != nil {
			return stage.Output{}, fmt.Errorf("message %d: %w", messages[i].Sequence, err)
		}
	}
	return c.out.take()
}

// follow makes the cleaner judge by the epochs that are known, that one among them. At
// first these are all that there are: who had the partition before may have passed the
// marker of one that this process has not been told of yet.
func (c *Cleaner) follow(ctx context.Context, epoch uint64) error {
	if c.history == nil {
		if err := c.catalogs.Renew(ctx); err != nil {
			return err
		}
	}
	history, err := c.catalogs.Known(ctx, epoch)
	if err != nil || history == c.history {
		return err
	}
	c.history, c.before = history, make(map[string]int64)
	if newest := history.Catalog(); c.judge == nil || c.judge.Catalog() != newest {
		c.judge, c.benches = silver.NewJudge(newest), make(map[reading.Series]*silver.Bench)
		c.court = newCourt(history.Epochs, c.out)
	}
	return nil
}

func (c *Cleaner) message(ctx context.Context, m *broker.Message) error {
	batch, err := wire.DecodeBronze(m.Data)
	if err != nil {
		c.out.counts.In++
		c.out.refuse(reading.Undecodable, 0, refusal.Foreign(m, err))
		return nil
	}
	if epoch := batch.Epoch(); epoch > c.judge.Catalog().Epoch() {
		if err := c.follow(ctx, epoch); err != nil {
			return err
		}
	}
	benches, before := make([]*silver.Bench, len(batch.Series)), make([]int64, len(batch.Series))
	hearings := make([]*silver.Hearing, len(batch.Series)) // of those that are heard
	for i, names := range batch.Series {
		benches[i], before[i] = c.bench(names), c.heardBefore(names.Metric)
	}
	again := batch.Again()
	for row := range batch.Rows() {
		c.out.counts.In++
		if again {
			c.out.counts.Again++
		}
		if received(m, &row) < before[row.Series] {
			h := &hearings[row.Series]
			if *h == nil {
				*h = c.court.hearing(batch.Series[row.Series])
			}
			c.out.counts.Out += c.court.hear(*h, &row, c.history.Epochs.Len(), again)
			continue
		}
		c.newest(benches[row.Series], &row, again)
	}
	return nil
}

// newest judges a reading under the newest epoch. The quarantine is told what becomes of
// one that was there.
func (c *Cleaner) newest(bench *silver.Bench, row *wire.BronzeRow, again bool) {
	judgement := bench.Judge(row.Reading, row.Stamp, row.Waived)
	if !judgement.Accepted() {
		c.out.refuseJudged(&judgement)
		return
	}
	if again {
		c.out.resolve(&judgement, row.Waived)
	}
	c.out.pass(&judgement)
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

// heardBefore is that of the history, looked up once for names that keep coming.
func (c *Cleaner) heardBefore(metric string) int64 {
	before, ok := c.before[metric]
	if !ok {
		if len(c.before) >= maxBenches {
			clear(c.before)
		}
		before = c.history.HeardBefore(metric)
		c.before[metric] = before
	}
	return before
}
