// Package decide does what people decide on readings in quarantine: it releases,
// discards and has judged again.
//
// A decision is a message: a release appends the reading to BRONZE with its original
// stamp and a waiver, from where silver judges it and tells the quarantine; a discard
// goes to QUARANTINE. States of entries follow from these streams (invariant 18). So a
// decision may be stopped anywhere, be made again and by several people at once: the
// same content merges away, and the first release is the one that counts. Nothing is
// kept here.
package decide

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Stages that refuse, as entries name them.
const (
	stageIngest = "ingest"
	stageSilver = "silver"
)

const (
	// messageBytes is where a message is closed.
	messageBytes = 64 << 10
	// heldBytes bounds what a call gathers before it sends that on, but for what a
	// single message becomes.
	heldBytes = 4 << 20
	// rowBytes is about what a row of the quarantine takes besides its texts.
	rowBytes = 64
)

// Deps is what is decided on.
type Deps struct {
	JetStream  jetstream.JetStream
	Publisher  *broker.Publisher
	Epochs     func() catalog.Epochs
	Partitions int
	// Decode does with a message of an ingress stream what ingest does.
	Decode func(stream uint32, m broker.Message) (stage.Output, error)
	// Payload reads what an entry keeps of what could not be decoded.
	Payload func(context.Context, goldstore.QuarantineKey) ([]byte, error)
}

// Result is what became of entries.
type Result struct {
	Done    []goldstore.QuarantineKey // sent on
	Already int                       // decided so before
	Refused []Refusal
}

// Refusal is an entry that cannot be decided on as asked.
type Refusal struct {
	Key    goldstore.QuarantineKey
	Reason string
}

func (r *Result) refuse(e *goldstore.QuarantineEntry, format string, args ...any) {
	r.Refused = append(r.Refused, Refusal{e.Key(), fmt.Sprintf(format, args...)})
}

// decision gathers the messages of one call.
type decision struct {
	Deps
	Result
	judge    *silver.Judge
	benches  map[reading.Series]*silver.Bench
	again    []wire.BronzeEncoder          // readings that were in quarantine, by partition
	besides  []wire.BronzeEncoder          // others that came with them
	told     map[string]*refusal.Collector // what the quarantine is told, by stage
	messages []*nats.Msg                   // of readings
	held     int                           // bytes of all these
	err      error
}

func (d Deps) begin() *decision {
	return &decision{
		Deps: d, judge: silver.NewJudge(d.Epochs().Newest()), benches: make(map[reading.Series]*silver.Bench),
		again: make([]wire.BronzeEncoder, d.Partitions), besides: make([]wire.BronzeEncoder, d.Partitions),
		told: make(map[string]*refusal.Collector),
	}
}

// Release lets the readings of entries pass the rules that refused them.
func (d Deps) Release(ctx context.Context, entries []goldstore.QuarantineEntry, by reading.Decision) (Result, error) {
	c := d.begin()
	for i := range entries {
		c.release(&entries[i], by)
		if err := c.sendFull(ctx); err != nil {
			return c.Result, err
		}
	}
	return c.Result, c.send(ctx)
}

func (c *decision) release(e *goldstore.QuarantineEntry, by reading.Decision) {
	switch {
	case e.State == goldstore.StateReleased:
		c.Already++
		return
	case e.State == goldstore.StateJudgedAgain:
		c.refuse(e, "the reading was judged again: it counts, or has an entry of a later epoch")
		return
	case e.Stage != stageSilver || !e.Decoded() || e.Stamp.Stream == refusal.ForeignStream:
		c.refuse(e, "%s", notJudged(e))
		return
	}
	fault := c.names(e)
	if fault == "" {
		waiver := c.waiver(e, by)
		if j := c.bench(&e.Reading).Judge(e.Reading, e.Stamp, waiver); !j.Accepted() {
			fault = "no waiver lets it pass: " + j.Detail
		} else {
			c.sendAgain(e.Reading, e.Stamp, waiver)
			c.Done = append(c.Done, e.Key())
		}
	}
	if fault != "" {
		c.refuse(e, "%s", fault)
	}
}

// notJudged says why an entry that silver did not judge cannot be released.
func notJudged(e *goldstore.QuarantineEntry) string {
	switch {
	case e.Stage == stageIngest && !e.Decoded():
		return "it could not be decoded, so there is no reading to release: judge it again, " +
			"once a build that understands it runs, or publish it anew"
	case e.Stage == stageIngest:
		return "ingest turned it away and kept a part of it only: publish it anew, within the limit"
	case e.Stage == "gold" && e.Decoded():
		return "the rules let it pass, the store could not take it: replay it from BRONZE once that is mended"
	default:
		return "it is no reading: a service could not read a message of another"
	}
}

// names says why the names of a reading stand in the way of any judgement; they may
// not even be kept as they were sent.
func (c *decision) names(e *goldstore.QuarantineEntry) string {
	if e.Rules.Has(reading.BadIdentifier) || e.Rules.Has(reading.MissingEntity) {
		return "no waiver and no catalogue lets it pass: " + e.Detail
	}
	return ""
}

// waiver returns what lets a reading pass the rules that refused it, and those that
// do today. It is not given before the reading was received, whatever clock says so.
func (c *decision) waiver(e *goldstore.QuarantineEntry, by reading.Decision) *reading.Waiver {
	today := c.bench(&e.Reading).Judge(e.Reading, e.Stamp, nil)
	by.At = max(by.At, e.Stamp.Received)
	return &reading.Waiver{Rules: silver.Waivable(e.Rules | today.Refused), Epoch: e.Epoch, Decision: by}
}

// bench returns the judge of a reading's names by the catalogue in force.
func (c *decision) bench(r *reading.Reading) *silver.Bench {
	names := reading.Series{EntityID: r.EntityID, Metric: r.Metric, Unit: r.Unit}
	b, ok := c.benches[names]
	if !ok {
		b = c.judge.Bench(names.EntityID, names.Metric, names.Unit)
		c.benches[names] = b
	}
	return b
}

// sendAgain adds a reading that was in quarantine to its partition's messages.
func (c *decision) sendAgain(r reading.Reading, stamp reading.Stamp, waiver *reading.Waiver) {
	c.add(c.again, &r, func(e *wire.BronzeEncoder) { e.Release(r, stamp, waiver) })
}

// sendBesides adds a reading that has no entry.
func (c *decision) sendBesides(r reading.Reading, stamp reading.Stamp) {
	c.add(c.besides, &r, func(e *wire.BronzeEncoder) { e.Add(r, stamp) })
}

func (c *decision) add(to []wire.BronzeEncoder, r *reading.Reading, row func(*wire.BronzeEncoder)) {
	p := int(reading.Partition(r.EntityID, uint32(c.Partitions)))
	c.held -= to[p].Size()
	row(&to[p])
	c.held += to[p].Size()
	if to[p].Size() >= messageBytes {
		c.close(to, p)
	}
}

func (c *decision) close(of []wire.BronzeEncoder, p int) {
	if of[p].Len() == 0 {
		return
	}
	data, err := of[p].Marshal()
	if err != nil {
		c.err = err
		return
	}
	c.messages = append(c.messages, &nats.Msg{Subject: broker.BronzeSubject(p), Data: data})
}

// Discard notes that the readings of entries are not wanted.
func (d Deps) Discard(ctx context.Context, entries []goldstore.QuarantineEntry, by reading.Decision) (Result, error) {
	c := d.begin()
	for i := range entries {
		e := &entries[i]
		switch {
		case e.State == goldstore.StateDiscarded:
			c.Already++
		case e.State == goldstore.StateReleased:
			c.refuse(e, "it was released and counts: publish its withdrawal to take it out")
		case e.State == goldstore.StateJudgedAgain:
			c.refuse(e, "the reading was judged again: it counts, or has an entry of a later epoch")
		case !isToken(e.Stage):
			c.refuse(e, "its stage is none of the platform's")
		default:
			c.resolve(e, reading.Discarded, by)
			c.Done = append(c.Done, e.Key())
		}
		if err := c.sendFull(ctx); err != nil {
			return c.Result, err
		}
	}
	return c.Result, c.send(ctx)
}

// resolve tells the quarantine what became of an entry.
func (c *decision) resolve(e *goldstore.QuarantineEntry, as reading.Resolution, by reading.Decision) {
	c.held += rowBytes + len(by.Person) + len(by.Reason)
	c.tell(e.Stage).Resolve(as, e.Epoch, e.Stamp, by)
}

// refuseAnew tells the quarantine of what has no entry yet, or has this one.
func (c *decision) refuseAnew(rule reading.Rule, r wire.Refusal) {
	c.held += rowBytes + len(r.Detail) + len(r.Payload)
	c.tell(stageIngest).Add(rule, 0, r)
}

func (c *decision) tell(stage string) *refusal.Collector {
	if c.told[stage] == nil {
		c.told[stage] = refusal.NewCollector(stage)
	}
	return c.told[stage]
}

// isToken reports whether a stage's name can stand in a subject.
func isToken(stage string) bool {
	return stage != "" && strings.Trim(stage, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// sendFull stores what was decided if that takes much memory.
func (c *decision) sendFull(ctx context.Context) error {
	if c.held < heldBytes {
		return nil
	}
	return c.send(ctx)
}

// send stores what was decided: readings first, then what the quarantine is told.
func (c *decision) send(ctx context.Context) error {
	for p := range c.Partitions {
		c.close(c.again, p)
		c.close(c.besides, p)
	}
	if c.err != nil {
		return c.err
	}
	if err := c.Publisher.Deliver(ctx, c.messages, nil, nil); err != nil {
		return err
	}
	var told []*nats.Msg
	for _, of := range c.told {
		messages, err := of.Messages()
		if err != nil {
			return err
		}
		told = append(told, messages...)
	}
	c.messages, c.held = nil, 0
	return c.Publisher.Deliver(ctx, told, nil, nil)
}
