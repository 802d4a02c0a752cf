package bronze

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/energy-platform/energy/pkg/reading"
)

// Content types of what this package writes, as producers declare them.
const (
	TypeJSON          = "application/json"
	TypeProtobuf      = "application/x-protobuf; proto=energy.v1.Reading"
	TypeProtobufBatch = "application/x-protobuf; proto=energy.v1.ReadingBatch"
)

// AppendJSON appends a reading as a JSON object that [Decoder] reads back as the
// same, bit for bit but for the sign of a NaN. Fields that say nothing are left out.
func AppendJSON(b []byte, r *reading.Reading) []byte {
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
// What JSON has no number for is text, which the decoder understands.
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

// AppendProtobuf appends a reading as an energy.v1.Reading that [Decoder] reads
// back as the same, bit for bit.
func AppendProtobuf(b []byte, r *reading.Reading) []byte {
	b = appendProtoText(b, protoEntity, r.EntityID)
	b = appendProtoText(b, protoMetric, r.Metric)
	b = appendSpan(b, protoTime, r.Time)
	if r.Value != 0 || math.Signbit(r.Value) {
		b = appendDouble(b, protoValue, r.Value)
	}
	b = appendProtoText(b, protoUnit, r.Unit)
	b = appendNumber(b, protoQuality, uint64(r.Quality))
	b = appendNumber(b, protoRevision, r.Revision)
	if r.Length != 0 {
		b = appendSpan(b, protoLength, int64(r.Length))
	}
	if r.Exchange { // also where it starts from 0
		b = appendDouble(b, protoExchange, r.ExchangeStart)
	}
	return b
}

func appendProtoText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendDouble(b []byte, field protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(v))
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// appendSpan appends ns as a Timestamp or Duration; nanos count forwards, so a time
// before 1970 has the second below.
func appendSpan(b []byte, field protowire.Number, ns int64) []byte {
	const seconds, nanos = 1, 2
	s, rest := ns/int64(time.Second), ns%int64(time.Second)
	if rest < 0 {
		s, rest = s-1, rest+int64(time.Second)
	}
	size := 0
	for _, n := range [...]uint64{uint64(s), uint64(rest)} {
		if n != 0 {
			size += 1 + protowire.SizeVarint(n)
		}
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(size))
	return appendNumber(appendNumber(b, seconds, uint64(s)), nanos, uint64(rest))
}
