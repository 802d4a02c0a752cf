// Package decide does what people decide on readings in quarantine: it releases,
// discards and has judged again.
//
// A decision is a message: a release appends the reading to BRONZE with its original
// stamp and a waiver, from where silver judges it and tells the quarantine; a discard
// goes to QUARANTINE. States of entries follow from these streams. So a decision may
// be stopped anywhere, be made again and by several people at once: the same content
// merges away, and the first release is the one that counts. Nothing is kept here.
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

// messageBytes is where a message is closed.
const messageBytes = 64 << 10

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
	bronze   []wire.BronzeEncoder // by partition
	resolved map[string]*refusal.Collector
	messages []*nats.Msg
	err      error
}

func (d Deps) begin() *decision {
	return &decision{
		Deps: d, judge: silver.NewJudge(d.Epochs().Newest()), benches: make(map[reading.Series]*silver.Bench),
		bronze: make([]wire.BronzeEncoder, d.Partitions), resolved: make(map[string]*refusal.Collector),
	}
}

// Release lets the readings of entries pass the rules that refused them.
func (d Deps) Release(ctx context.Context, entries []goldstore.QuarantineEntry, by reading.Decision) (Result, error) {
	c := d.begin()
	for i := range entries {
		c.release(&entries[i], by)
	}
	return c.send(ctx)
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
			c.append(e.Reading, e.Stamp, waiver)
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

// append adds a reading to its partition's messages.
func (c *decision) append(r reading.Reading, stamp reading.Stamp, waiver *reading.Waiver) {
	p := int(reading.Partition(r.EntityID, uint32(c.Partitions)))
	c.bronze[p].Release(r, stamp, waiver)
	if c.bronze[p].Size() >= messageBytes {
		c.close(p)
	}
}

func (c *decision) close(p int) {
	if c.bronze[p].Len() == 0 {
		return
	}
	data, err := c.bronze[p].Marshal()
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
	}
	return c.send(ctx)
}

// resolve tells the quarantine what became of an entry.
func (c *decision) resolve(e *goldstore.QuarantineEntry, as reading.Resolution, by reading.Decision) {
	if c.resolved[e.Stage] == nil {
		c.resolved[e.Stage] = refusal.NewCollector(e.Stage)
	}
	c.resolved[e.Stage].Resolve(as, e.Epoch, e.Stamp, by)
}

// isToken reports whether a stage's name can stand in a subject.
func isToken(stage string) bool {
	return stage != "" && strings.Trim(stage, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// send stores what was decided: readings first, then what became of entries.
func (c *decision) send(ctx context.Context) (Result, error) {
	for p := range c.bronze {
		c.close(p)
	}
	if c.err != nil {
		return c.Result, c.err
	}
	if err := c.publish(ctx, c.messages); err != nil {
		return c.Result, err
	}
	var messages []*nats.Msg
	for _, of := range c.resolved {
		resolved, err := of.Messages()
		if err != nil {
			return c.Result, err
		}
		messages = append(messages, resolved...)
	}
	return c.Result, c.publish(ctx, messages)
}

// publish stores messages, again what the broker does not take now, until ctx ends.
func (c *decision) publish(ctx context.Context, messages []*nats.Msg) error {
	if len(messages) == 0 {
		return nil
	}
	return new(broker.Backoff).Retry(ctx, broker.IsRetryable, func(error) {}, func() error {
		_, err := c.Publisher.PublishAll(ctx, messages)
		return err
	})
}
