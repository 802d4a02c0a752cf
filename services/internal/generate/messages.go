// Package generate is the command "energy generate": it writes what a simulated
// fleet sends, and the true answer, into files, and packs a fleet's deliveries
// into messages for tests that publish them themselves.
//
// What it writes is what package fleet yields, so that the same flags give the
// same bytes, apart from how a gzip is packed. A folder is complete or absent:
// files get their names when all of them are written.
package generate

import (
	"fmt"
	"iter"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/pkg/reading"
)

// Format is how messages are written.
type Format uint8

// The formats.
const (
	JSON     Format = iota // an array of objects
	Protobuf               // energy.v1.ReadingBatch
)

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	switch name {
	case "json":
		return JSON, nil
	case "protobuf":
		return Protobuf, nil
	}
	return JSON, fmt.Errorf("format %q is not known; use json or protobuf", name)
}

// typeBatch is the content type of messages in Protobuf.
const typeBatch = fleet.TypeProtobuf + "; proto=energy.v1.ReadingBatch"

// Message is what a producer publishes at once.
type Message struct {
	ContentType string
	Payload     []byte
	Deliveries  int // that it holds: what ingest counts as taken in
}

// maxPayload closes a message that is full of bytes, well below the 1 MiB that
// nats-server takes unless told otherwise.
const maxPayload = 512 << 10

// Messages yields a fleet's deliveries in messages of at most batch deliveries,
// in the order of their arrival. Rubbish that would spoil its neighbours has a
// message of its own, and in Protobuf all that is not even a reading. Payloads
// may be kept.
func Messages(f *fleet.Fleet, format Format, batch int) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		p := packer{format: format}
		for d := range f.Deliveries() {
			alone := d.Alone() || format == Protobuf && d.Undecodable()
			if alone || p.count >= batch || len(p.payload) >= maxPayload {
				if p.count > 0 && !yield(p.take()) {
					return
				}
			}
			if !alone {
				p.add(&d)
			} else if !yield(Message{ContentType: d.Defect.ContentType, Payload: d.Payload, Deliveries: 1}) {
				return
			}
		}
		if p.count > 0 {
			yield(p.take())
		}
	}
}

// packer fills a message.
type packer struct {
	format  Format
	payload []byte
	one     []byte // a reading in Protobuf
	count   int
	last    int // bytes of the message before
}

// add appends a delivery to the message.
func (p *packer) add(d *fleet.Delivery) {
	if p.payload == nil {
		p.payload = make([]byte, 0, p.last+p.last/8)
	}
	p.count++
	if p.format == Protobuf {
		p.one = appendProto(p.one[:0], &d.Reading)
		p.payload = protowire.AppendTag(p.payload, 1, protowire.BytesType)
		p.payload = protowire.AppendBytes(p.payload, p.one)
		return
	}
	separator := byte(',')
	if p.count == 1 {
		separator = '['
	}
	p.payload = d.AppendJSON(append(p.payload, separator))
}

// take returns the message and begins another.
func (p *packer) take() Message {
	m := Message{ContentType: typeBatch, Payload: p.payload, Deliveries: p.count}
	if p.format == JSON {
		m.ContentType = fleet.TypeJSON
		m.Payload = append(m.Payload, ']')
	}
	p.last, p.payload, p.count = len(m.Payload), nil, 0
	return m
}

// appendProto appends a reading as an energy.v1.Reading.
func appendProto(b []byte, r *reading.Reading) []byte {
	const entity, metric, at, value, unit, quality, revision, length = 1, 2, 3, 4, 5, 6, 7, 8
	b = appendText(b, entity, r.EntityID)
	b = appendText(b, metric, r.Metric)
	b = appendSpan(b, at, r.Time)
	b = protowire.AppendTag(b, value, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(r.Value))
	b = appendText(b, unit, r.Unit)
	b = appendNumber(b, quality, uint64(r.Quality))
	b = appendNumber(b, revision, r.Revision)
	if r.Length != 0 {
		b = appendSpan(b, length, int64(r.Length))
	}
	return b
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// appendSpan appends ns, not negative, as a Timestamp or Duration.
func appendSpan(b []byte, field protowire.Number, ns int64) []byte {
	const seconds, nanos = 1, 2
	s, rest := uint64(ns/int64(time.Second)), uint64(ns%int64(time.Second))
	size := 0
	for _, n := range [...]uint64{s, rest} {
		if n != 0 {
			size += 1 + protowire.SizeVarint(n)
		}
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(size))
	return appendNumber(appendNumber(b, seconds, s), nanos, rest)
}
