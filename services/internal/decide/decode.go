package decide

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
)

// byMessage is entries of ingest by the messages that they came with, which are
// decoded once.
type byMessage struct {
	entries [][]*goldstore.QuarantineEntry
	at      map[reading.Stamp]int // of the message: without an index
}

func (b *byMessage) add(e *goldstore.QuarantineEntry) {
	message := e.Stamp
	message.Index = 0
	n, ok := b.at[message]
	if !ok {
		if b.at == nil {
			b.at = make(map[reading.Stamp]int)
		}
		n = len(b.entries)
		b.at[message], b.entries = n, append(b.entries, nil)
	}
	b.entries[n] = append(b.entries[n], e)
}

// decode sends on what the entries of one message could not be decoded to.
func (c *decision) decode(ctx context.Context, entries []*goldstore.QuarantineEntry) error {
	stamp := entries[0].Stamp
	stored, err := broker.Original(ctx, c.JetStream, int(stamp.Stream), stamp.Sequence, time.Unix(0, stamp.Received))
	switch {
	case err != nil:
		return err
	case stored != nil:
		return c.decodeMessage(entries, &broker.Message{
			Sequence: stamp.Sequence, Received: stored.Received,
			Subject: stored.Subject, Header: stored.Header, Data: stored.Data,
		})
	}
	for _, e := range entries {
		fault, err := c.decodePayload(ctx, e)
		if err != nil {
			return err
		}
		c.decoded(e, fault)
	}
	return nil
}

// decoded notes what became of an entry, which has a fault or none any more.
func (c *decision) decoded(e *goldstore.QuarantineEntry, fault string) {
	if fault != "" {
		c.refuse(e, "%s", fault)
		return
	}
	c.resolve(e, reading.Accepted, reading.Decision{})
	c.Done = append(c.Done, e.Key())
}

// decodeMessage does what ingest does with the message, if that mends any of the
// entries. Its readings have their stamps, so that those that were taken in before
// are duplicates. What it refuses goes to quarantine: not all of it needs to have an
// entry, as an earlier build may have delimited less of the message, or kept it whole
// for too many faults.
func (c *decision) decodeMessage(entries []*goldstore.QuarantineEntry, m *broker.Message) error {
	yield, err := c.yieldOf(entries[0].Stamp.Stream, m)
	if err != nil {
		return err
	}
	mended := false
	chosen := make(map[reading.Stamp]bool, len(entries)) // whether these are mended, by stamp
	for _, e := range entries {
		fault := yield.fault(e)
		c.decoded(e, fault)
		mended = mended || fault == ""
		if !isPart(e) {
			chosen[e.Stamp] = fault == ""
		}
	}
	if !mended {
		return nil
	}
	for _, r := range yield.readings {
		if chosen[r.Stamp] {
			c.sendAgain(r.Reading, r.Stamp, nil)
		} else {
			c.sendBesides(r.Reading, r.Stamp)
		}
	}
	for _, r := range yield.refused {
		if _, has := chosen[r.Stamp]; !has {
			c.refuseAnew(r.rule, r.Refusal)
		}
	}
	return nil
}

// isPart reports whether an entry keeps a part of a message for faults that have no
// entries. Its stamp is behind those of the message's readings and faults, as they
// were told apart then.
func isPart(e *goldstore.QuarantineEntry) bool {
	return e.Rule == reading.Limit.String() && e.PayloadBytes > 0
}

// yield is what ingest makes of a message.
type yield struct {
	readings []wire.BronzeRow
	refused  []refused
	taken    map[reading.Stamp]bool   // of readings
	why      map[reading.Stamp]string // of what is refused
	parts    bool                     // some of what is refused has no entry but the message's parts
}

type refused struct {
	rule reading.Rule
	wire.Refusal
}

func (c *decision) yieldOf(stream uint32, m *broker.Message) (*yield, error) {
	out, err := c.Decode(stream, *m)
	if err != nil {
		return nil, err
	}
	y := &yield{taken: make(map[reading.Stamp]bool), why: make(map[reading.Stamp]string)}
	for _, one := range out.Messages {
		if strings.HasPrefix(one.Subject, "quarantine.") {
			err = y.refuse(one.Data)
		} else {
			err = y.take(one.Data)
		}
		if err != nil {
			return nil, err
		}
	}
	return y, nil
}

func (y *yield) take(data []byte) error {
	batch, err := wire.DecodeBronze(data)
	if err != nil {
		return err
	}
	for r := range batch.Rows() {
		y.readings = append(y.readings, r)
		y.taken[r.Stamp] = true
	}
	return nil
}

func (y *yield) refuse(data []byte) error {
	batch, err := wire.DecodeQuarantine(data)
	if err != nil {
		return err
	}
	rule, known := reading.ParseRule(batch.Rule)
	if !known {
		return fmt.Errorf("ingest refuses by rule %q, which is not known", batch.Rule)
	}
	for r := range batch.Refusals() {
		y.refused = append(y.refused, refused{rule, r})
		y.why[r.Stamp] = r.Detail
		y.parts = y.parts || rule == reading.Limit && len(r.Payload) > 0
	}
	return nil
}

// fault says why an entry stays, "" if all that it stands for is taken in or has
// entries of its own.
func (y *yield) fault(e *goldstore.QuarantineEntry) string {
	why, refused := y.why[e.Stamp]
	switch {
	case refused:
		return "this build refuses it as before: " + why
	case isPart(e) && y.parts:
		return "this build cannot decode too many readings of the message, as before: publish it anew, in parts"
	case !isPart(e) && !y.taken[e.Stamp]:
		return "this build finds no reading in its place: publish it anew"
	default:
		return ""
	}
}

// decodePayload decodes what was kept of a message that is gone.
func (c *decision) decodePayload(ctx context.Context, e *goldstore.QuarantineEntry) (fault string, err error) {
	switch {
	case e.Rule != reading.Undecodable.String() || e.PayloadBytes >= bronze.MaxExcerpt:
		return "the message is not held any more, and only a part of it was kept: publish it anew", nil
	case bronze.ByType(e.Detail):
		return "the message is not held any more, nor is its content type, by which it was refused: publish it anew", nil
	}
	payload, err := c.Payload(ctx, e.Key())
	if err != nil {
		return "", err
	}
	y, err := c.yieldOf(e.Stamp.Stream, &broker.Message{
		Sequence: e.Stamp.Sequence, Received: time.Unix(0, e.Stamp.Received), Data: payload,
	})
	switch {
	case err != nil:
		return "", err
	case len(y.refused) > 0:
		return "this build refuses it as before: " + y.refused[0].Detail, nil
	case len(y.readings) != 1:
		return fmt.Sprintf("the message is not held any more, and what was kept of it has %d readings, "+
			"which cannot be told apart: publish it anew", len(y.readings)), nil
	}
	c.sendAgain(y.readings[0].Reading, e.Stamp, nil)
	return "", nil
}
