package cleaner

import (
	"errors"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// messageBytes is where a silver message is closed.
const messageBytes = 64 << 10

// output gathers what judging a batch gives: silver messages, one a time for
// each epoch that judges, and refusals.
type output struct {
	partition int
	silver    map[uint64]*wire.SilverEncoder // by epoch
	refused   *refusal.Collector
	messages  []*nats.Msg
	counts    broker.Counts
	flagged   uint64 // of those that were passed on
	err       error
}

func newOutput(partition int) *output {
	return &output{
		partition: partition, silver: make(map[uint64]*wire.SilverEncoder), refused: refusal.NewCollector(Stage),
	}
}

// pass sends on the judgement that a reading passed by.
func (o *output) pass(j *silver.Judgement) {
	o.counts.Out++
	if j.Flags != 0 {
		o.flagged++
	}
	o.send(j)
}

// send adds a judgement to the messages for SILVER.
func (o *output) send(j *silver.Judgement) {
	e, ok := o.silver[j.Epoch]
	if !ok {
		e = new(wire.SilverEncoder)
		o.silver[j.Epoch] = e
	}
	e.Add(j)
	if e.Size() >= messageBytes {
		o.close(j.Epoch, e)
	}
}

// refuseJudged puts a reading that was not accepted into quarantine.
func (o *output) refuseJudged(j *silver.Judgement) {
	rule, _ := j.Refused.First()
	o.refuse(rule, j.Epoch, wire.Refusal{
		Reading: j.Reading, Stamp: j.Stamp, Rules: j.Refused | j.Flags, Detail: j.Detail,
	})
}

// resolve tells the quarantine of an accepted reading that was in it: by a waiver,
// nil if it has none.
func (o *output) resolve(j *silver.Judgement, waiver *reading.Waiver) {
	if j.Waived {
		o.refused.Resolve(reading.Released, j.Epoch, j.Stamp, waiver.Decision)
		return
	}
	o.refused.Resolve(reading.Accepted, j.Epoch, j.Stamp, reading.Decision{})
}

func (o *output) refuse(rule reading.Rule, epoch uint64, r wire.Refusal) {
	o.counts.Quarantined++
	o.refused.Add(rule, epoch, r)
}

func (o *output) close(epoch uint64, e *wire.SilverEncoder) {
	if e.Len() == 0 {
		return
	}
	data, err := e.Marshal(epoch)
	if err != nil {
		o.err = errors.Join(o.err, err)
		return
	}
	o.messages = append(o.messages, &nats.Msg{Subject: broker.SilverSubject(o.partition), Data: data})
}

// take returns what was gathered and begins anew.
func (o *output) take() (stage.Output, error) {
	for _, epoch := range slices.Sorted(maps.Keys(o.silver)) {
		o.close(epoch, o.silver[epoch])
	}
	refused, err := o.refused.Messages()
	out := stage.Output{Messages: append(o.messages, refused...), Counts: o.counts, Flagged: o.flagged}
	err = errors.Join(o.err, err)
	o.messages, o.counts, o.flagged, o.err = nil, broker.Counts{}, 0, nil
	return out, err
}
