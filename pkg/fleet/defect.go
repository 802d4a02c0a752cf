package fleet

import (
	"bytes"
	"math"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// The stages that refuse, as quarantine names them.
const (
	Ingest = "ingest"
	Silver = "silver"
)

// Content types of payloads.
const (
	TypeJSON     = "application/json"
	TypeProtobuf = "application/x-protobuf"
)

// Defect is a way in which a delivery is malformed, and what refuses it.
type Defect struct {
	Name        string
	Stage       string // Ingest or Silver
	Rule        reading.Rule
	ContentType string // of the payload of what is Undecodable
	// Object says that the payload is a JSON value, which among others spoils
	// only itself. Other payloads need a message of their own.
	Object bool

	limits bool // only for series whose values the catalogue bounds
	change func(*reading.Reading)
	text   func(json []byte) []byte // the payload, of what would have been a proper reading
}

const (
	oversized = 5000 // bytes; ingest takes in names of 4096
	century   = 100 * 365 * 24 * time.Hour
	endless   = 375 * 24 * time.Hour // silver takes lengths up to 366 days
)

// defects are all that can be wrong. Their order is part of what a seed yields.
var defects = [...]Defect{
	{Name: "truncated_json", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeJSON,
		text: func(json []byte) []byte { return json[:len(json)/2] }},
	{Name: "plain_text", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeJSON,
		text: func([]byte) []byte { return []byte("ERR 17 meter timeout\r\n") }},
	{Name: "empty_payload", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeJSON,
		text: func([]byte) []byte { return []byte{} }},
	{Name: "broken_protobuf", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeProtobuf,
		text: func([]byte) []byte { return []byte{0xFF, 0xFF, 0xFF} }},
	{Name: "comma_decimal", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeJSON, Object: true,
		text: func(json []byte) []byte { return replace(json, `"value":`, `"value":"12,5","raw":`) }},
	{Name: "no_time", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeJSON, Object: true,
		text: func(json []byte) []byte { return replace(json, `"time":`, `"read_at":`) }},
	{Name: "time_without_offset", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeJSON, Object: true,
		text: func(json []byte) []byte { return replace(json, `Z","value"`, `","value"`) }},
	{Name: "unknown_quality", Stage: Ingest, Rule: reading.Undecodable, ContentType: TypeJSON, Object: true,
		text: func(json []byte) []byte { return replace(json, `}`, `,"quality":"guessed"}`) }},

	{Name: "oversized_entity", Stage: Ingest, Rule: reading.Limit,
		change: func(r *reading.Reading) { r.EntityID = strings.Repeat("x", oversized) }},
	{Name: "missing_entity", Stage: Silver, Rule: reading.MissingEntity,
		change: func(r *reading.Reading) { r.EntityID = "" }},
	{Name: "missing_metric", Stage: Silver, Rule: reading.BadIdentifier,
		change: func(r *reading.Reading) { r.Metric = "" }},
	{Name: "padded_entity", Stage: Silver, Rule: reading.BadIdentifier,
		change: func(r *reading.Reading) { r.EntityID += " " }},
	{Name: "nan_value", Stage: Silver, Rule: reading.NonFiniteValue,
		change: func(r *reading.Reading) { r.Value = math.NaN() }},
	{Name: "infinite_value", Stage: Silver, Rule: reading.NonFiniteValue,
		change: func(r *reading.Reading) { r.Value = math.Inf(1) }},
	{Name: "unknown_unit", Stage: Silver, Rule: reading.UnknownUnit,
		change: func(r *reading.Reading) { r.Unit = "furlong" }},
	{Name: "wrong_unit", Stage: Silver, Rule: reading.UnitMismatch,
		change: func(r *reading.Reading) { r.Unit = "Hz" }},
	{Name: "endless_length", Stage: Silver, Rule: reading.OutOfRange,
		change: func(r *reading.Reading) { r.Length = endless }},
	{Name: "absurd_value", Stage: Silver, Rule: reading.OutOfRange, limits: true,
		change: func(r *reading.Reading) { r.Value = 9_999_999 }},
	{Name: "far_future", Stage: Silver, Rule: reading.TimeInFuture,
		change: func(r *reading.Reading) { r.Time += int64(century) }},
	{Name: "clock_at_zero", Stage: Silver, Rule: reading.TimeTooOld,
		change: func(r *reading.Reading) { r.Time %= int64(24 * time.Hour) }},
}

// Defects returns all ways in which deliveries are malformed.
func Defects() []Defect { return defects[:] }

// defect returns what a number drawn stands for in a series.
func (s *Series) defect(drawn uint8) *Defect {
	for drawn > 0 && defects[drawn].limits && !s.limits {
		drawn-- // the defect before it, of the same rule
	}
	return &defects[drawn]
}

// spoil makes rubbish of a delivery.
func (x *Defect) spoil(d Delivery) Delivery {
	d.Defect = x
	if x.change != nil {
		x.change(&d.Reading)
		return d
	}
	d.Payload = x.text(appendJSON(nil, &d.Reading))
	d.Reading = reading.Reading{}
	return d
}

func replace(json []byte, old, replacement string) []byte {
	return bytes.Replace(json, []byte(old), []byte(replacement), 1)
}
