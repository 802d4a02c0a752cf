package bronze

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/energy-platform/energy/pkg/reading"
)

// Field numbers of energy.v1.Reading; the only one of energy.v1.ReadingBatch
// is 1, its readings.
const (
	protoEntity = iota + 1
	protoMetric
	protoTime
	protoValue
	protoUnit
	protoQuality
	protoRevision
	protoLength
	protoExchange
	lastField = protoExchange
)

var protoNames = [...]string{
	"", "entity_id (1)", "metric (2)", "time (3)", "value (4)", "unit (5)", "quality (6)", "revision (7)", "length (8)",
	"exchange_start (9)",
}

var errMalformed = errors.New("the bytes are no protobuf message: cut short or damaged; serialize an energy.v1.Reading")

// message is an energy.v1.Reading as it stands on the wire. Of several
// occurrences of a field the last counts; those of a message are merged.
type message struct {
	entity, metric, unit []byte
	time, length         span
	value, exchangeStart float64
	revision             uint64
	quality              int32
	timed, exchange      bool
	unknown              int
}

// span is a google.protobuf.Timestamp or Duration.
type span struct {
	seconds int64
	nanos   int32
}

// decodeBatch decodes an energy.v1.ReadingBatch. A damaged reading is refused
// alone, as its length is known; where the batch itself is damaged, the rest
// is one fault.
func (d *Decoder) decodeBatch(payload []byte) {
	for rest := payload; len(rest) > 0; {
		number, kind, n := consumeTag(rest)
		size := n
		if n >= 0 {
			if size = protowire.ConsumeFieldValue(number, kind, rest[n:]); size >= 0 {
				size += n
			}
		}
		switch {
		case size < 0:
			d.refuse(rest, fmt.Sprintf("the batch is cut short or damaged at byte %d; what follows is lost",
				len(payload)-len(rest)))
			return
		case number != 1:
			d.unknown++
		case kind != protowire.BytesType:
			d.refuse(rest[:size], "readings (1): wire type "+wireName(kind)+" where bytes belong")
		default:
			inner, _ := protowire.ConsumeBytes(rest[n:])
			d.decodeMessage(inner)
		}
		rest = rest[size:]
	}
}

// decodeMessage decodes an energy.v1.Reading.
func (d *Decoder) decodeMessage(b []byte) {
	var m message
	err := m.read(b)
	d.unknown += m.unknown
	var r reading.Reading
	if err == nil {
		r, err = d.readingOf(&m)
	}
	if err != nil {
		d.refuse(b, err.Error())
		return
	}
	d.accept(r)
}

// readingOf makes a reading of a message.
func (d *Decoder) readingOf(m *message) (r reading.Reading, err error) {
	if !m.timed {
		return r, errors.New("time (3): missing; give the time of the reading")
	}
	if q := m.quality; q < 0 || q > math.MaxUint8 || !reading.Quality(q).Valid() {
		return r, fmt.Errorf("quality (6): %d is not known; use a value of energy.v1.Quality", q)
	}
	r.Quality = reading.Quality(m.quality)
	if r.Time, err = m.time.unixNano(); err != nil {
		return r, err
	}
	if r.Length, err = m.length.duration(); err != nil {
		return r, err
	}
	r.EntityID = d.name(entityField, m.entity)
	r.Metric = d.name(metricField, m.metric)
	r.Unit = d.name(unitField, m.unit)
	r.Value, r.Revision = m.value, m.revision
	r.Exchange, r.ExchangeStart = m.exchange, m.exchangeStart
	return r, nil
}

// unixNano returns a Timestamp in Unix ns.
func (s span) unixNano() (int64, error) {
	if s.nanos < 0 || s.nanos > 999_999_999 {
		return 0, fmt.Errorf("time (3): nanos are %d; they count from 0 to 999999999", s.nanos)
	}
	ns, err := unixNano(s.seconds, int64(s.nanos))
	if err != nil {
		return 0, fmt.Errorf("time (3): %d s %d ns since 1970 %w", s.seconds, s.nanos, err)
	}
	return ns, nil
}

// duration returns a Duration.
func (s span) duration() (time.Duration, error) {
	if s.nanos < 0 || s.nanos > 999_999_999 || s.seconds < 0 {
		return 0, fmt.Errorf("length (8): %d s %d ns is negative or malformed; "+
			"seconds count from 0, nanos from 0 to 999999999", s.seconds, s.nanos)
	}
	ns, err := unixNano(s.seconds, int64(s.nanos))
	if err != nil {
		return 0, fmt.Errorf("length (8): %d s is longer than 292 years", s.seconds)
	}
	return time.Duration(ns), nil
}

// read reads the fields of b, up to the first that is damaged.
func (m *message) read(b []byte) error {
	for len(b) > 0 {
		number, kind, n := consumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if number > lastField {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return errMalformed
			}
			m.unknown++
			b = b[n:]
			continue
		}
		if kind != wireTypes[number] {
			return fmt.Errorf("%s: wire type %s where %s belong", protoNames[number], wireName(kind),
				wireName(wireTypes[number]))
		}
		n, err := m.field(number, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// wireTypes are the wire types of energy.v1.Reading by field number.
var wireTypes = [...]protowire.Type{
	protoEntity:   protowire.BytesType,
	protoMetric:   protowire.BytesType,
	protoTime:     protowire.BytesType,
	protoValue:    protowire.Fixed64Type,
	protoUnit:     protowire.BytesType,
	protoQuality:  protowire.VarintType,
	protoRevision: protowire.VarintType,
	protoLength:   protowire.BytesType,
	protoExchange: protowire.Fixed64Type,
}

// field reads the known field at the beginning of b and returns its size.
func (m *message) field(number protowire.Number, b []byte) (n int, err error) {
	switch number {
	case protoEntity:
		n, err = consumeText(b, &m.entity, number)
	case protoMetric:
		n, err = consumeText(b, &m.metric, number)
	case protoUnit:
		n, err = consumeText(b, &m.unit, number)
	case protoTime:
		m.timed = true
		n, err = m.span(b, &m.time, number)
	case protoLength:
		n, err = m.span(b, &m.length, number)
	case protoValue:
		m.value, n = consumeDouble(b)
	case protoExchange:
		m.exchange = true
		m.exchangeStart, n = consumeDouble(b)
	case protoQuality:
		var v uint64
		v, n = protowire.ConsumeVarint(b)
		m.quality = int32(v) // as protobuf reads an enum
	case protoRevision:
		m.revision, n = protowire.ConsumeVarint(b)
	}
	if n < 0 {
		return 0, errMalformed
	}
	return n, err
}

// consumeDouble reads a double field.
func consumeDouble(b []byte) (float64, int) {
	bits, n := protowire.ConsumeFixed64(b)
	return math.Float64frombits(bits), n
}

// consumeText reads a string field.
func consumeText(b []byte, to *[]byte, number protowire.Number) (int, error) {
	v, n := protowire.ConsumeBytes(b)
	if !utf8.Valid(v) {
		return n, fmt.Errorf("%s: %s is not valid UTF-8", protoNames[number], excerpt(v))
	}
	*to = v
	return n, nil
}

// span merges a Timestamp or Duration into s.
func (m *message) span(b []byte, s *span, outer protowire.Number) (int, error) {
	const seconds, nanos = 1, 2
	inner, size := protowire.ConsumeBytes(b)
	for len(inner) > 0 {
		number, kind, n := consumeTag(inner)
		if n < 0 {
			return 0, errMalformed
		}
		inner = inner[n:]
		if number <= nanos && kind != protowire.VarintType {
			return 0, fmt.Errorf("%s: wire type %s where varint belongs", protoNames[outer], wireName(kind))
		}
		var v uint64
		switch number {
		case seconds:
			v, n = protowire.ConsumeVarint(inner)
			s.seconds = int64(v)
		case nanos:
			v, n = protowire.ConsumeVarint(inner)
			s.nanos = int32(v) // as protobuf reads an int32
		default:
			n = protowire.ConsumeFieldValue(number, kind, inner)
			m.unknown++
		}
		if n < 0 {
			return 0, errMalformed
		}
		inner = inner[n:]
	}
	return size, nil
}

// consumeTag is protowire.ConsumeTag, which lets numbers pass that protobuf
// does not allow.
func consumeTag(b []byte) (protowire.Number, protowire.Type, int) {
	if len(b) > 0 && b[0] >= 1<<3 && b[0] < 0x80 { // numbers 1 to 15 take one byte
		return protowire.Number(b[0] >> 3), protowire.Type(b[0] & 7), 1
	}
	number, kind, n := protowire.ConsumeTag(b)
	if n >= 0 && !number.IsValid() {
		return 0, 0, -1
	}
	return number, kind, n
}

// wireName names a wire type.
func wireName(kind protowire.Type) string {
	names := [...]string{"varint", "fixed64", "bytes", "start of group", "end of group", "fixed32"}
	if int(kind) < len(names) {
		return names[kind]
	}
	return fmt.Sprintf("%d", kind)
}
