package bronze

import (
	"bytes"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Format is how a payload is written.
type Format uint8

// The formats.
const (
	Unknown       Format = iota
	JSON                 // an object, an array of objects, or objects each beginning on a line of its own
	NDJSON               // one object a line
	Protobuf             // energy.v1.Reading
	ProtobufBatch        // energy.v1.ReadingBatch
	SenML                // an array of SenML records, RFC 8428
	SenMLStream          // as SenML, but the array need not be closed
)

var formatNames = [...]string{"unknown", "json", "ndjson", "protobuf", "protobuf batch", "senml", "senml stream"}

// String returns the format's name.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return formatNames[Unknown]
}

// FormatOf returns the format of a payload.
//
// A Content-Type of SenML, NDJSON or protobuf decides. Protobuf's parameter
// proto or messageType names the message; any message but energy.v1.Reading
// and energy.v1.ReadingBatch is Unknown. Without the parameter the payload is
// a Reading if a field numbered 2 to 9 stands in it, otherwise a batch: a
// batch has field 1 only, and a Reading cannot do without field 3, its time.
//
// JSON is SenML where it is an array whose first element is an object with a
// base field (bn, bt, bu, bv, bs, bver), or with n and one of v, vs, vb and vd,
// and without any field of a reading. No reading is mistaken so, as it needs a
// time and a value or a quality.
//
// With another Content-Type, or none, the payload decides. Protobuf is
// recognised by one well-formed reading with a time; its tag, 0x1A, never
// stands in JSON, so that neither is taken for the other even where a batch
// begins with bytes that read as "\n{".
func FormatOf(contentType string, payload []byte) Format {
	media, parameters, _ := strings.Cut(contentType, ";")
	switch media = strings.ToLower(strings.TrimSpace(media)); media {
	case "application/json", "text/json":
		return jsonOrSenML(payload)
	case "application/senml+json":
		return SenML
	case "application/sensml+json":
		return SenMLStream
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return NDJSON
	case "application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf":
		return declared(parameters, payload)
	}
	return sniff(payload)
}

// declared returns the format that the parameters of a protobuf media type
// name, or what the payload's fields tell where they name none.
func declared(parameters string, payload []byte) Format {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if name = strings.TrimSpace(name); !strings.EqualFold(name, "proto") && !strings.EqualFold(name, "messageType") {
			continue
		}
		switch strings.Trim(strings.TrimSpace(value), `"`) {
		case "energy.v1.Reading":
			return Protobuf
		case "energy.v1.ReadingBatch":
			return ProtobufBatch
		}
		return Unknown
	}
	return readingOrBatch(payload)
}

// sniff returns the format that a payload itself tells.
func sniff(payload []byte) Format {
	if opensJSON(payload) {
		return jsonOrSenML(payload)
	}
	switch format := readingOrBatch(payload); {
	case format == Protobuf && isReading(payload):
		return Protobuf
	case format == ProtobufBatch && holdsReading(payload):
		return ProtobufBatch
	}
	if opensJSON(bytes.TrimLeft(payload, " \t\r\n")) {
		return jsonOrSenML(payload)
	}
	return Unknown
}

// opensJSON reports whether b begins as JSON does, perhaps after a byte order
// mark. No field of energy.v1 begins with these bytes.
func opensJSON(b []byte) bool {
	if rest, ok := bytes.CutPrefix(b, byteOrderMark); ok {
		return opensJSON(bytes.TrimLeft(rest, " \t\r\n"))
	}
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

// jsonOrSenML tells SenML from other JSON by its first record. An escape in a
// name speaks for a reading, as its name is not looked up here.
func jsonOrSenML(payload []byte) Format {
	var s scanner
	if s.begin(payload); s.peek() != '[' {
		return JSON
	}
	s.pos++
	if s.space(); s.peek() != '{' {
		return JSON
	}
	base, named, valued := false, false, false
	for more := s.firstMember(); more; more = s.nextMember() {
		name, ok := s.key()
		if !ok {
			break
		}
		l := labelOf(name.raw)
		if name.kind == escaped || fieldOf(name.raw) != noField {
			return JSON
		}
		base = base || l.isBase()
		named = named || l == nameLabel
		valued = valued || l.isValue()
		if _, ok = s.value(); !ok {
			break
		}
		s.space()
	}
	if base || named && valued {
		return SenML
	}
	return JSON
}

// readingOrBatch tells a Reading from a ReadingBatch by the numbers of the
// outermost fields. What is neither counts as a batch.
func readingOrBatch(payload []byte) Format {
	for len(payload) > 0 {
		number, _, n := protowire.ConsumeField(payload)
		if n < 0 {
			break
		}
		if number > 1 && number <= lastField {
			return Protobuf
		}
		payload = payload[n:]
	}
	return ProtobufBatch
}

// isReading reports whether b is a well-formed Reading with a time.
func isReading(b []byte) bool {
	var m message
	return m.read(b) == nil && m.timed
}

// holdsReading reports whether b is a run of fields numbered 1, one of which
// is a reading.
func holdsReading(b []byte) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number != 1 || kind != protowire.BytesType {
			return false
		}
		inner, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return false
		}
		if isReading(inner) {
			return true
		}
		b = b[n+m:]
	}
	return false
}
