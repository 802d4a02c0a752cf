package decide

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
)

// Rejudge has the readings of entries judged by the catalogue in force, and decodes
// what could not be decoded with the decoder of this build: from the message while
// its stream holds it, else from the payload that was kept of it.
func (d Deps) Rejudge(ctx context.Context, entries []goldstore.QuarantineEntry) (Result, error) {
	c := d.begin()
	for i := range entries {
		e := &entries[i]
		switch {
		case e.State == goldstore.StateReleased, e.State == goldstore.StateJudgedAgain:
			c.Already++
		case e.Stamp.Stream == refusal.ForeignStream || e.Stage != stageSilver && e.Stage != stageIngest:
			c.refuse(e, "%s", notJudged(e))
		case e.Stage == stageSilver:
			c.rejudge(e)
		default:
			if err := c.decode(ctx, e); err != nil {
				return c.Result, err
			}
		}
	}
	return c.send(ctx)
}

// rejudge sends a reading on if the catalogue in force lets it pass, or has not
// judged it yet.
func (c *decision) rejudge(e *goldstore.QuarantineEntry) {
	fault := c.names(e)
	if fault == "" {
		j := c.bench(&e.Reading).Judge(e.Reading, e.Stamp, nil)
		if j.Accepted() || j.Epoch > e.Epoch {
			c.append(e.Reading, e.Stamp, nil)
			c.Done = append(c.Done, e.Key())
			return
		}
		fault = fmt.Sprintf("the catalogue in force refuses it as before: %s", j.Detail)
	}
	c.refuse(e, "%s", fault)
}

// decode sends on what an entry could not be decoded to.
func (c *decision) decode(ctx context.Context, e *goldstore.QuarantineEntry) error {
	stored, err := broker.Original(ctx, c.JetStream, int(e.Stamp.Stream), e.Stamp.Sequence, time.Unix(0, e.Stamp.Received))
	if err != nil {
		return err
	}
	var fault string
	if stored != nil {
		fault, err = c.decodeMessage(e, &broker.Message{
			Sequence: e.Stamp.Sequence, Received: stored.Received,
			Subject: stored.Subject, Header: stored.Header, Data: stored.Data,
		})
	} else {
		fault, err = c.decodePayload(ctx, e)
	}
	switch {
	case err != nil:
		return err
	case fault != "":
		c.refuse(e, "%s", fault)
	default:
		c.resolve(e, reading.Accepted, reading.Decision{})
		c.Done = append(c.Done, e.Key())
	}
	return nil
}

// decodeMessage does what ingest does with the message: its readings have their
// stamps, so that those that were taken in before are duplicates. Fault says that
// the entry's part is refused as before.
func (c *decision) decodeMessage(e *goldstore.QuarantineEntry, m *broker.Message) (fault string, err error) {
	out, err := c.Decode(e.Stamp.Stream, *m)
	if err != nil {
		return "", err
	}
	var readings []*nats.Msg
	for _, one := range out.Messages {
		if !strings.HasPrefix(one.Subject, "quarantine.") {
			if one.Data, err = wire.AppendAgain(one.Data); err != nil {
				return "", err
			}
			readings = append(readings, one)
			continue
		}
		batch, err := wire.DecodeQuarantine(one.Data)
		if err != nil {
			return "", err
		}
		for r := range batch.Refusals() {
			if r.Stamp == e.Stamp {
				return "this build refuses it as before: " + r.Detail, nil
			}
		}
	}
	if len(readings) == 0 {
		return "this build finds no reading in the message", nil
	}
	c.messages = append(c.messages, readings...)
	return "", nil
}

// decodePayload decodes what was kept of a message that is gone.
func (c *decision) decodePayload(ctx context.Context, e *goldstore.QuarantineEntry) (fault string, err error) {
	if e.Rule != reading.Undecodable.String() || e.PayloadBytes >= bronze.MaxExcerpt {
		return "the message is not held any more, and only a part of it was kept: publish it anew", nil
	}
	payload, err := c.Payload(ctx, e.Key())
	if err != nil {
		return "", err
	}
	var (
		decoder  = bronze.Decoder{Received: e.Stamp.Received}
		readings []reading.Reading
	)
	decoder.Decode("", payload,
		func(_ uint32, r reading.Reading) { readings = append(readings, r) },
		func(f bronze.Fault) { fault = "this build refuses it as before: " + f.Detail })
	if fault == "" && len(readings) != 1 {
		fault = fmt.Sprintf("the message is not held any more, and what was kept of it has %d readings, "+
			"which cannot be told apart: publish it anew", len(readings))
	}
	if fault == "" {
		c.append(readings[0], e.Stamp, nil)
	}
	return fault, nil
}
