// Package bronze decodes what producers publish into readings.
//
// A payload is JSON (an object, an array of objects, or one object a line),
// SenML JSON, or protobuf (energy.v1.Reading or energy.v1.ReadingBatch). One
// bad reading never spoils its neighbours (invariant 5): what can be delimited is refused
// alone, and what stands before the place where delimiting ends is kept. Every
// position of a message yields exactly one reading or one fault.
//
// Decoding says whether a reading can be understood, not whether it makes
// sense: a missing entity, a NaN or an absurd time is silver's to judge.
//
// # SenML
//
// SenML JSON is read as RFC 8428 says, with these choices where it leaves one:
//
//   - The name, bn and n joined, is cut at its last "/" into entity and metric,
//     without a "/" at its last ":". After a ":" no metric begins with a digit
//     or has hexadecimal digits and "-" only, so that the end of an address is
//     not taken for one. A name that cannot be cut is refused, and a bn of more
//     than 512 bytes.
//   - Times are added in whole nanoseconds, each rounded down, never as floats.
//     A sum below 2^28 s is relative to [Decoder.Received].
//   - Units of RFC 8428 and RFC 8798 become the catalogue's: Cel °C, "/" 1, %RH
//     and %EL %. SenML's % is a ratio and becomes 1. Others stay as they are.
//   - Only numbers in v are readings; vs, vb and vd are refused. bv alone makes
//     no value. Sums (s, bs) count as unknown fields: they are in unit times
//     seconds and tell no start, and a record with a sum only is refused. ut is
//     passed over.
//   - A record of base fields only is no reading and takes no index.
//   - bver may be 1 to 10, or 26 for RFC 8798's units (RFC 9100). From a record
//     with another one on, or with a base field that must be understood (b…_)
//     and is not, the payload is one fault.
//   - A refused record's sound base fields hold for those after it. Where one
//     is bad, the records that rest on it are refused too, up to the next that
//     sets it.
//   - A SensML message is a stream of its own; its array need not be closed.
//
// The package is total and deterministic. Work and memory are linear in the
// payload, and no input makes it fail otherwise than by faults.
package bronze

import (
	"fmt"
	"strings"

	"github.com/energy-platform/energy/pkg/reading"
)

// MaxExcerpt bounds the payload that a fault carries, in bytes.
const MaxExcerpt = 64 << 10

// Fault is a part of a payload that could not be decoded.
type Fault struct {
	Index   uint32 // position in the message
	Detail  string // what is wrong, where, and what mends it
	Payload []byte // the part, at most MaxExcerpt bytes of it; shares the message's memory
}

// Decoder decodes payloads. It keeps buffers and names between messages; the
// zero value is ready. It must not be used by two goroutines at once.
type Decoder struct {
	// Received is when the broker took in the payload, in Unix ns. SenML needs
	// it for times relative to "now" and refuses them where it is 0.
	Received int64
	// Unknown, if not nil, is told the names of JSON members that are no field, in
	// bytes that hold until it returns. Of broken text it may hear a name twice.
	Unknown func(name []byte)

	scan    scanner
	pack    pack
	scratch []byte // text freed of its escapes
	names   names
	last    [fields]string // the last name of each field
	next    uint32         // index of the next reading or fault
	unknown int
	emit    func(index uint32, r reading.Reading)
	fault   func(Fault)
}

// Decode calls emit or fault for each reading of the payload, in the order of
// the message and with indices 0, 1, 2, …, and returns how many fields it did
// not know. An empty payload is one fault; an empty array is nothing.
// Strings of readings may be kept; a fault's Payload only as long as payload.
func (d *Decoder) Decode(
	contentType string, payload []byte, emit func(index uint32, r reading.Reading), fault func(Fault),
) (unknownFields int) {
	d.next, d.unknown, d.emit, d.fault = 0, 0, emit, fault
	format := FormatOf(contentType, payload)
	switch {
	case len(payload) == 0:
		d.refuse(payload, "the payload is empty; publish a reading in JSON, SenML or protobuf")
	case format == JSON:
		d.decodeJSON(payload)
	case format == NDJSON:
		d.scan.reset(payload)
		d.decodeLines(payload)
	case format == Protobuf:
		d.decodeMessage(payload)
	case format == ProtobufBatch:
		d.decodeBatch(payload)
	case format == SenML, format == SenMLStream:
		d.decodePack(payload, format == SenMLStream)
	default:
		d.refuse(payload, fmt.Sprintf(typeFault+"%s is neither JSON nor an energy.v1 message; "+
			"set the header Content-Type to application/json, application/senml+json "+
			"or application/x-protobuf; proto=energy.v1.ReadingBatch",
			excerpt([]byte(contentType))))
	}
	d.scan.reset(nil)
	d.emit, d.fault = nil, nil
	return d.unknown
}

// typeFault begins the detail of a fault of a payload in no format.
const typeFault = "the payload with content type "

// ByType reports whether the detail of a fault says that a content type was given,
// and in no format: without the type the payload might be taken for something else.
func ByType(detail string) bool {
	return strings.HasPrefix(detail, typeFault) && !strings.HasPrefix(detail, typeFault+`""`)
}

// name returns b as a string that may be kept. Neighbours mostly share their
// metric and unit, so it looks at the field's last name first.
func (d *Decoder) name(f field, b []byte) string {
	if d.last[f] != string(b) {
		d.last[f] = d.names.of(b)
	}
	return d.last[f]
}

// accept emits a reading at the next index.
func (d *Decoder) accept(r reading.Reading) {
	d.emit(d.next, r)
	d.next++
}

// refuse reports a fault at the next index.
func (d *Decoder) refuse(payload []byte, detail string) {
	if n := len(payload); n > MaxExcerpt {
		payload = payload[:MaxExcerpt:MaxExcerpt]
		detail = fmt.Sprintf("%s (payload cut to the first %d of %d bytes)", detail, MaxExcerpt, n)
	}
	d.fault(Fault{Index: d.next, Detail: detail, Payload: payload})
	d.next++
}

// excerpt quotes the beginning of b for a message to people.
func excerpt(b []byte) string {
	const most = 48
	if len(b) > most {
		return fmt.Sprintf("%q…", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
