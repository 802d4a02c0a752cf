// Package refusal gathers what a stage refuses, and what became of that, into
// messages for QUARANTINE.
package refusal

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
)

// messageBytes is where a quarantine message is closed. A single refusal adds
// at most an excerpt of its payload to it.
const messageBytes = 256 << 10

// ForeignStream is the stream number in the stamps of messages that no service
// of the platform sent. No ingress stream has it.
const ForeignStream = math.MaxUint32

// Foreign is the refusal of a whole message between services that cannot be
// decoded.
func Foreign(m *broker.Message, err error) wire.Refusal {
	return wire.Refusal{
		Stamp:   reading.Stamp{Received: m.Received.UnixNano(), Sequence: m.Sequence, Stream: ForeignStream},
		Rules:   reading.Rules(0).With(reading.Undecodable),
		Detail:  fmt.Sprintf("message %d on %s: %v", m.Sequence, m.Subject, err),
		Payload: m.Data[:min(len(m.Data), messageBytes)],
	}
}

// key is what the rows of one message have in common.
type key struct {
	rule  reading.Rule // of refusals
	as    reading.Resolution
	epoch uint64
}

// Collector gathers refusals of one stage by rule and epoch. It is used by one
// goroutine.
type Collector struct {
	stage    string
	open     map[key]*wire.QuarantineEncoder
	messages []*nats.Msg
	err      error
}

// NewCollector returns an empty collector of a stage.
func NewCollector(stage string) *Collector {
	return &Collector{stage: stage, open: make(map[key]*wire.QuarantineEncoder)}
}

// Add takes in a refusal under the rule that fired first.
func (c *Collector) Add(rule reading.Rule, epoch uint64, r wire.Refusal) {
	c.add(key{rule: rule, epoch: epoch}, func(e *wire.QuarantineEncoder) { e.Add(r) })
}

// Resolve takes in what became of a reading that the stage refused: by which epoch
// it is accepted or, of one that was discarded, was refused.
func (c *Collector) Resolve(as reading.Resolution, epoch uint64, stamp reading.Stamp, d reading.Decision) {
	c.add(key{as: as, epoch: epoch}, func(e *wire.QuarantineEncoder) { e.Resolve(stamp, d) })
}

func (c *Collector) add(k key, row func(*wire.QuarantineEncoder)) {
	e, ok := c.open[k]
	if !ok {
		e = new(wire.QuarantineEncoder)
		c.open[k] = e
	}
	row(e)
	if e.Size() >= messageBytes {
		c.close(k, e)
	}
}

// Messages returns the messages for what was added since the last call, or why
// some could not be made.
func (c *Collector) Messages() ([]*nats.Msg, error) {
	keys := make([]key, 0, len(c.open))
	for k := range c.open {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(int(a.as)-int(b.as), int(a.rule)-int(b.rule))
	})
	for _, k := range keys {
		if e := c.open[k]; e.Len() > 0 {
			c.close(k, e)
		}
	}
	out, err := c.messages, c.err
	c.messages, c.err = nil, nil
	return out, err
}

func (c *Collector) close(k key, e *wire.QuarantineEncoder) {
	name := k.rule.String()
	marshal := func() ([]byte, error) { return e.Marshal(c.stage, k.rule, k.epoch) }
	if k.as != reading.Refused {
		name = k.as.String()
		marshal = func() ([]byte, error) { return e.MarshalResolved(c.stage, k.as, k.epoch) }
	}
	data, err := marshal()
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.messages = append(c.messages, &nats.Msg{
		Subject: broker.QuarantineSubject(c.stage, name), Data: data,
	})
}
