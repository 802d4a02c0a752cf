// Package cleaner is the service that judges bronze and passes on as silver
// what counts.
package cleaner

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Stage is the name of this stage in positions and quarantine.
const Stage = "silver"

const (
	// messageBytes is where a silver message is closed.
	messageBytes = 64 << 10
	// maxBenches bounds the judges kept ready for names seen before.
	maxBenches = 1 << 16
)

// Cleaner judges the bronze of one partition. It is used by one goroutine.
type Cleaner struct {
	partition int
	judge     *silver.Judge
	benches   map[reading.Series]*silver.Bench
	accepted  wire.SilverEncoder
	refused   *refusal.Collector
	out       stage.Output
	err       error
}

// New returns a cleaner of a partition.
func New(partition int, judge *silver.Judge) *Cleaner {
	return &Cleaner{
		partition: partition, judge: judge,
		benches: make(map[reading.Series]*silver.Bench), refused: refusal.NewCollector(Stage),
	}
}

// Clean returns the silver and quarantine messages of a batch.
func (c *Cleaner) Clean(messages []broker.Message) (stage.Output, error) {
	c.out, c.err = stage.Output{}, nil
	for i := range messages {
		c.message(&messages[i])
	}
	c.close()
	refused, err := c.refused.Messages()
	c.out.Messages = append(c.out.Messages, refused...)
	return c.out, errors.Join(c.err, err)
}

func (c *Cleaner) message(m *broker.Message) {
	batch, err := wire.DecodeBronze(m.Data)
	if err != nil {
		c.out.Counts.In++
		c.refuse(reading.Undecodable, refusal.Foreign(m, err))
		return
	}
	benches := make([]*silver.Bench, len(batch.Series))
	for i, names := range batch.Series {
		benches[i] = c.bench(names)
	}
	for row := range batch.Rows() {
		c.out.Counts.In++
		judgement := benches[row.Series].Judge(row.Reading, row.Stamp, row.Waived)
		if !judgement.Accepted() {
			rule, _ := judgement.Refused.First()
			c.refuse(rule, wire.Refusal{
				Reading: judgement.Reading, Stamp: judgement.Stamp,
				Rules: judgement.Refused | judgement.Flags, Detail: judgement.Detail,
			})
			continue
		}
		c.out.Counts.Out++
		c.accepted.Add(&judgement)
		if c.accepted.Size() >= messageBytes {
			c.close()
		}
	}
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

func (c *Cleaner) refuse(rule reading.Rule, r wire.Refusal) {
	c.out.Counts.Quarantined++
	c.refused.Add(rule, c.judge.Epoch(), r)
}

func (c *Cleaner) close() {
	if c.accepted.Len() == 0 {
		return
	}
	data, err := c.accepted.Marshal(c.judge.Epoch())
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.out.Messages = append(c.out.Messages, &nats.Msg{Subject: broker.SilverSubject(c.partition), Data: data})
}
