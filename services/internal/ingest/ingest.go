// Package ingest is the service that decodes what producers publish on READINGS
// and passes it on as bronze, partitioned by entity.
package ingest

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

// Stage is the name of this stage in positions and quarantine.
const Stage = "ingest"

const (
	// maxFaults bounds the entries that one message makes in quarantine: a
	// message of empty objects would otherwise store many times its own size.
	// With more faults the message itself is kept, in parts of partBytes.
	maxFaults = 1000
	partBytes = 256 << 10
	// messageBytes is where a bronze message is closed.
	messageBytes = 64 << 10
	// maxIdentifier bounds what one reading may add to a message, so that every
	// message stays below the broker's limit. Silver's own limit is lower; this
	// one keeps what reaches it bounded.
	maxIdentifier = 4 << 10
)

// Decoder turns messages of one ingress stream into bronze. It is used by one
// goroutine.
type Decoder struct {
	stream     uint32
	decoder    bronze.Decoder
	partitions []wire.BronzeEncoder
	refused    *refusal.Collector
	out        stage.Output
	err        error
}

// NewDecoder returns a decoder for ingress stream number stream and that many
// partitions.
func NewDecoder(stream uint32, partitions int) *Decoder {
	return &Decoder{
		stream: stream, partitions: make([]wire.BronzeEncoder, partitions),
		refused: refusal.NewCollector(Stage),
	}
}

// Decode returns the bronze and quarantine messages of a batch. Stamps come
// from the broker, so that decoding a message again gives the same readings.
func (d *Decoder) Decode(messages []broker.Message) (stage.Output, error) {
	d.out, d.err = stage.Output{}, nil
	for i := range messages {
		d.message(&messages[i])
	}
	for p := range d.partitions {
		d.close(p)
	}
	refused, err := d.refused.Messages()
	d.out.Messages = append(d.out.Messages, refused...)
	return d.out, errors.Join(d.err, err)
}

// Refuse keeps a message in quarantine that cannot be decoded for its own sake.
func (d *Decoder) Refuse(m *broker.Message, cause error) (stage.Output, error) {
	d.out, d.err = stage.Output{}, nil
	parts := (len(m.Data) + partBytes - 1) / partBytes
	for i := range max(parts, 1) {
		d.out.Counts.In++
		d.out.Counts.Quarantined++
		d.refuse(reading.Undecodable, wire.Refusal{
			Stamp:   reading.Stamp{Received: m.Received.UnixNano(), Sequence: m.Sequence, Stream: d.stream, Index: uint32(i)},
			Detail:  fmt.Sprintf("part %d of %d of a message: %v", i+1, max(parts, 1), cause),
			Payload: m.Data[i*partBytes : min((i+1)*partBytes, len(m.Data))],
		})
	}
	var err error
	d.out.Messages, err = d.refused.Messages()
	return d.out, errors.Join(d.err, err)
}

func (d *Decoder) message(m *broker.Message) {
	stamp := func(index uint32) reading.Stamp {
		return reading.Stamp{
			Received: m.Received.UnixNano(), Sequence: m.Sequence, Stream: d.stream, Index: index,
		}
	}
	d.decoder.Received = m.Received.UnixNano()
	faults, behind := 0, uint32(0) // behind is the index behind the last reading or fault
	d.decoder.Decode(m.Header.Get("Content-Type"), m.Data,
		func(index uint32, r reading.Reading) {
			behind = index + 1
			d.reading(r, stamp(index))
		},
		func(f bronze.Fault) {
			d.out.Counts.In++
			d.out.Counts.Quarantined++
			behind = f.Index + 1
			if faults++; faults <= maxFaults {
				d.refuse(reading.Undecodable, wire.Refusal{Stamp: stamp(f.Index), Detail: f.Detail, Payload: f.Payload})
			}
		},
	)
	if faults > maxFaults {
		d.keep(m.Data, faults-maxFaults, func(part uint32) reading.Stamp { return stamp(behind + part) })
	}
}

// reading passes on one reading.
func (d *Decoder) reading(r reading.Reading, stamp reading.Stamp) {
	d.out.Counts.In++
	if fault := oversized(&r); fault != "" {
		d.out.Counts.Quarantined++
		d.refuse(reading.Limit, wire.Refusal{Reading: shortened(r), Stamp: stamp, Detail: fault})
		return
	}
	d.out.Counts.Out++
	p := int(reading.Partition(r.EntityID, uint32(len(d.partitions))))
	d.partitions[p].Add(r, stamp)
	if d.partitions[p].Size() >= messageBytes {
		d.close(p)
	}
}

// keep puts a whole message into quarantine, in parts, for the faults that have
// no entries of their own. Their stamps follow those of the message's readings and
// faults, any of which may have an entry of its own under the same rule.
func (d *Decoder) keep(payload []byte, faults int, stamp func(part uint32) reading.Stamp) {
	parts := (len(payload) + partBytes - 1) / partBytes
	for i := range parts {
		d.refuse(reading.Limit, wire.Refusal{
			Stamp: stamp(uint32(i)),
			Detail: fmt.Sprintf("part %d of %d of a message of which %d more readings cannot be decoded: send fewer at once",
				i+1, parts, faults),
			Payload: payload[i*partBytes : min((i+1)*partBytes, len(payload))],
		})
	}
}

func (d *Decoder) refuse(rule reading.Rule, r wire.Refusal) {
	r.Rules = r.Rules.With(rule)
	d.refused.Add(rule, 0, r)
}

// close turns what a partition holds into a message.
func (d *Decoder) close(p int) {
	if d.partitions[p].Len() == 0 {
		return
	}
	data, err := d.partitions[p].Marshal()
	if err != nil {
		d.err = errors.Join(d.err, err)
		return
	}
	d.out.Messages = append(d.out.Messages, &nats.Msg{Subject: broker.BronzeSubject(p), Data: data})
}

// oversized says which identifier is too long, "" when none is.
func oversized(r *reading.Reading) string {
	for _, field := range [...]struct{ name, value string }{
		{"entity_id", r.EntityID}, {"metric", r.Metric}, {"unit", r.Unit},
	} {
		if len(field.value) > maxIdentifier {
			return fmt.Sprintf("%s has %d bytes: at most %d are taken in", field.name, len(field.value), maxIdentifier)
		}
	}
	return ""
}

// shortened returns the reading with identifiers cut to the limit.
func shortened(r reading.Reading) reading.Reading {
	for _, field := range [...]*string{&r.EntityID, &r.Metric, &r.Unit} {
		*field = (*field)[:min(len(*field), maxIdentifier)]
	}
	return r
}
