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

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/fleet"
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
		p.one = bronze.AppendProtobuf(p.one[:0], &d.Reading)
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
	m := Message{ContentType: bronze.TypeProtobufBatch, Payload: p.payload, Deliveries: p.count}
	if p.format == JSON {
		m.ContentType = fleet.TypeJSON
		m.Payload = append(m.Payload, ']')
	}
	p.last, p.payload, p.count = len(m.Payload), nil, 0
	return m
}
