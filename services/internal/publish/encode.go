package publish

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/source"
)

// Format is how messages are written.
type Format uint8

// The formats.
const (
	JSON     Format = iota // an array of objects, or an object
	Protobuf               // energy.v1.ReadingBatch, or energy.v1.Reading
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

// Content types of messages.
const (
	typeJSON    = "application/json"
	typeReading = "application/x-protobuf; proto=energy.v1.Reading"
	typeBatch   = "application/x-protobuf; proto=energy.v1.ReadingBatch"
)

// maxPayload bounds a message: below the 1 MiB that nats-server takes unless
// told otherwise, with room for headers.
const maxPayload = 900 << 10

// sizeLimit returns how large a payload may be on a connection.
func sizeLimit(nc *nats.Conn) int {
	const headers = 1 << 10
	if most := int(nc.MaxPayload()); most > 0 {
		return min(maxPayload, max(most-headers, 1))
	}
	return maxPayload
}

// batch is the payload of one message.
type batch struct {
	payload     []byte
	readings    int
	contentType string
}

// encoder packs readings into messages of at most size readings and limit bytes.
type encoder struct {
	format  Format
	size    int
	limit   int
	payload []byte
	n       int
	one     []byte // the reading that comes next
	message energyv1.Reading
}

func newEncoder(f Format, size, limit int) *encoder {
	return &encoder{format: f, size: size, limit: limit}
}

// add takes a reading and returns the message that it filled, if any. A reading
// that no message can hold is a RowError.
func (e *encoder) add(r *reading.Reading) (batch, *source.RowError) {
	const frame = 16 // brackets and comma, or tag and length
	if err := e.encode(r); err != nil || len(e.one)+frame > e.limit {
		return batch{}, unsendable(r, len(e.one), e.limit, err)
	}
	var full batch
	if len(e.payload)+len(e.one)+frame > e.limit {
		full = e.flush()
	}
	e.append()
	if e.n++; e.n == e.size { // not so behind a message that was full of bytes
		full = e.flush()
	}
	return full, nil
}

// flush returns the message of what was added so far.
func (e *encoder) flush() batch {
	b := batch{payload: e.payload, readings: e.n, contentType: typeJSON}
	switch {
	case e.format == Protobuf && e.size == 1:
		b.contentType = typeReading
	case e.format == Protobuf:
		b.contentType = typeBatch
	case e.size > 1 && e.n > 0:
		b.payload = append(b.payload, ']')
	}
	e.payload, e.n = make([]byte, 0, min(len(b.payload)+len(b.payload)/8, e.limit)), 0
	return b
}

// append adds the encoded reading to the payload.
func (e *encoder) append() {
	switch {
	case e.size == 1:
	case e.format == Protobuf:
		e.payload = protowire.AppendTag(e.payload, 1, protowire.BytesType)
		e.payload = protowire.AppendVarint(e.payload, uint64(len(e.one)))
	case e.n == 0:
		e.payload = append(e.payload, '[')
	default:
		e.payload = append(e.payload, ',')
	}
	e.payload = append(e.payload, e.one...)
}

// encode writes a reading to e.one.
func (e *encoder) encode(r *reading.Reading) (err error) {
	if e.format == JSON {
		e.one = appendJSON(e.one[:0], r)
		return nil
	}
	at := time.Unix(0, r.Time)
	m := &e.message
	m.EntityId, m.Metric, m.Value, m.Unit = r.EntityID, r.Metric, r.Value, r.Unit
	m.Quality, m.Revision = energyv1.Quality(r.Quality), r.Revision
	m.Time = &timestamppb.Timestamp{Seconds: at.Unix(), Nanos: int32(at.Nanosecond())}
	m.Length = nil
	if r.Length != 0 {
		m.Length = durationpb.New(r.Length)
	}
	m.ExchangeStart = nil
	if r.Exchange {
		m.ExchangeStart = new(r.ExchangeStart)
	}
	e.one, err = proto.MarshalOptions{}.MarshalAppend(e.one[:0], m)
	return err
}

func unsendable(r *reading.Reading, size, limit int, err error) *source.RowError {
	row := &source.RowError{
		File: "reading of " + strconv.Quote(short(r.EntityID)), Found: fmt.Sprintf("%d bytes", size),
		Expected: fmt.Sprintf("at most %d bytes in a message", limit),
	}
	if err != nil {
		row.Found, row.Expected, row.Hint = "", "a reading that protobuf can hold", err.Error()
	}
	return row
}

func short(text string) string { return text[:min(len(text), 40)] }

// appendJSON writes a reading as ingest reads it. Fields that say nothing are
// left out.
func appendJSON(b []byte, r *reading.Reading) []byte {
	b = appendString(append(b, `{"entity_id":`...), r.EntityID)
	b = appendString(append(b, `,"metric":`...), r.Metric)
	b = append(b, `,"time":"`...)
	b = time.Unix(0, r.Time).UTC().AppendFormat(b, time.RFC3339Nano)
	b = appendValue(append(b, `","value":`...), r.Value)
	if r.Unit != "" {
		b = appendString(append(b, `,"unit":`...), r.Unit)
	}
	if r.Quality != reading.Unspecified {
		b = appendString(append(b, `,"quality":`...), r.Quality.String())
	}
	if r.Revision != 0 {
		b = strconv.AppendUint(append(b, `,"revision":`...), r.Revision, 10)
	}
	if r.Length != 0 {
		b = appendString(append(b, `,"length":`...), r.Length.String())
	}
	if r.Exchange {
		b = appendValue(append(b, `,"exchange_start":`...), r.ExchangeStart)
	}
	return append(b, '}')
}

// appendValue writes the shortest number that reads back as the same float64.
// What JSON has no number for is text, which ingest understands.
func appendValue(b []byte, v float64) []byte {
	format := byte('f')
	switch size := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return append(strconv.AppendFloat(append(b, '"'), v, 'g', -1, 64), '"')
	case size != 0 && (size < 1e-6 || size >= 1e21):
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, 64)
}

// appendString writes text as a JSON string.
func appendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(text) // a string cannot fail
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
