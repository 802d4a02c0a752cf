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
}

// Cleaner judges the bronze of one partition by the newest epoch of the
// catalogue: the one that is known when a batch begins or, if that is later, the
// one that a marker in bronze asks for. It is used by one goroutine.
type Cleaner struct {
	catalogs Catalogs
	judge    *silver.Judge
	benches  map[reading.Series]*silver.Bench
	out      output
}

// New returns a cleaner of a partition.
func New(partition int, catalogs Catalogs) *Cleaner {
	c := &Cleaner{catalogs: catalogs, out: newOutput(partition)}
	c.follow(catalogs.Newest())
	return c
}

// Refuse keeps a message in quarantine that cannot be judged for its own sake.
func Refuse(m *broker.Message, cause error) (stage.Output, error) {
	o := newOutput(0)
	o.counts.In++
	o.refuse(reading.Undecodable, 0, refusal.Foreign(m, cause))
	return o.take()
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
	}
	benches := make([]*silver.Bench, len(batch.Series))
	for i, names := range batch.Series {
		benches[i] = c.bench(names)
	}
	for row := range batch.Rows() {
		c.out.counts.In++
		if batch.Again() {
			c.out.counts.Again++
		}
		judgement := benches[row.Series].Judge(row.Reading, row.Stamp, row.Waived)
		if judgement.Accepted() {
			c.out.pass(&judgement)
			if batch.Again() {
				c.out.resolve(&judgement, row.Waived)
			}
		} else {
			c.out.refuseJudged(&judgement)
		}
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
