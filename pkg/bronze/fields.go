package bronze

import (
	"errors"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// field is what a member of a reading's object says.
type field uint8

const (
	noField field = iota
	entityField
	metricField
	timeField
	valueField
	unitField
	qualityField
	revisionField
	lengthField
	exchangeField
	fields
)

var fieldNames = [fields]string{
	"", "entity_id", "metric", "time", "value", "unit", "quality", "revision", "length",
	"exchange_start",
}

// fieldOf returns the field of a member's name.
func fieldOf(name []byte) field {
	switch string(name) {
	case "entity_id", "entity":
		return entityField
	case "metric":
		return metricField
	case "time", "timestamp", "ts":
		return timeField
	case "value":
		return valueField
	case "unit":
		return unitField
	case "quality":
		return qualityField
	case "revision":
		return revisionField
	case "length":
		return lengthField
	case "exchange_start":
		return exchangeField
	}
	return noField
}

// members holds the known members of an object. Of several members for one
// field the last counts; a null counts as not there.
type members struct {
	tokens [fields]token
	kind   kind // of the whole value; the rest holds for an object only
}

// reading makes a reading of an object's members.
func (d *Decoder) reading(m *members) (r reading.Reading, err error) {
	if r.EntityID, err = d.textName(m, entityField); err != nil {
		return r, err
	}
	if r.Metric, err = d.textName(m, metricField); err != nil {
		return r, err
	}
	if r.Unit, err = d.textName(m, unitField); err != nil {
		return r, err
	}
	if r.Time, err = d.time(m.tokens[timeField]); err != nil {
		return r, err
	}
	if r.Quality, err = d.quality(m); err != nil {
		return r, err
	}
	if r.Value, err = d.value(m.tokens[valueField], r.Quality); err != nil {
		return r, err
	}
	if t := m.tokens[exchangeField]; t.kind != absent {
		r.Exchange = true
		if r.ExchangeStart, err = d.number(t, exchangeField); err != nil {
			return r, err
		}
	}
	if r.Revision, err = d.revision(m.tokens[revisionField]); err != nil {
		return r, err
	}
	r.Length, err = d.length(m.tokens[lengthField])
	return r, err
}

// textName returns the text of a field as a name.
func (d *Decoder) textName(m *members, f field) (string, error) {
	b, err := d.text(m, f)
	if err != nil {
		return "", err
	}
	return d.name(f, b), nil
}

// text returns the text of a field, until the next call.
func (d *Decoder) text(m *members, f field) ([]byte, error) {
	t := m.tokens[f]
	switch t.kind {
	case absent:
		return nil, nil
	case text, escaped:
		return d.resolve(t, fieldNames[f])
	default:
		return nil, mistyped(fieldNames[f], t, "text in double quotes")
	}
}

// resolve returns what the string of a member stands for, until the next call.
func (d *Decoder) resolve(t token, member string) ([]byte, error) {
	if t.kind != escaped {
		return t.raw, nil
	}
	var ok bool
	if d.scratch, ok = unescape(d.scratch[:0], t.raw); !ok {
		return nil, halfPair(member, t)
	}
	return d.scratch, nil
}

// halfPair says that a member's text has an escape that is half a character.
func halfPair(member string, t token) error {
	return fmt.Errorf("%s: %s holds half a surrogate pair; write both halves", member, excerpt(t.raw))
}

// mistyped says that a member is of the wrong type.
func mistyped(member string, t token, want string) error {
	return fmt.Errorf("%s: %s stands where %s should", member, kindNames[t.kind], want)
}

// time returns the event time in Unix ns.
func (d *Decoder) time(t token) (ns int64, err error) {
	b := t.raw
	switch t.kind {
	case absent:
		return 0, errors.New("time: missing; give the time of the reading, such as 2026-01-31T12:00:00Z")
	case number:
		ns, err = parseEpoch(b)
	case text, escaped:
		if b, err = d.resolve(t, fieldNames[timeField]); err != nil {
			return 0, err
		}
		ns, err = parseTime(b)
	default:
		return 0, mistyped(fieldNames[timeField], t, "an RFC 3339 time or an epoch number")
	}
	if err != nil {
		return 0, timeFault(b, err)
	}
	return ns, nil
}

// value returns the value, which only a withdrawn reading may lack.
func (d *Decoder) value(t token, q reading.Quality) (float64, error) {
	switch {
	case t.kind != absent:
		return d.number(t, valueField)
	case q == reading.Withdrawn:
		return 0, nil
	default:
		return 0, errors.New("value: missing; give a number, or quality withdrawn to take a reading back")
	}
}

// number returns a number, which may stand in quotes and be no finite one.
func (d *Decoder) number(t token, f field) (float64, error) {
	switch t.kind {
	case number:
		v, _ := parseFloat(t.raw)
		return v, nil
	case text, escaped:
		b, err := d.resolve(t, fieldNames[f])
		if err != nil {
			return 0, err
		}
		if v, ok := parseFloat(b); ok {
			return v, nil
		}
		if v, ok := parseNonFinite(b); ok {
			return v, nil
		}
		return 0, fmt.Errorf("%s: %s is no number; "+
			"write it with a decimal point and nothing else, such as 12.5", fieldNames[f], excerpt(b))
	default:
		return 0, mistyped(fieldNames[f], t, "a number")
	}
}

// quality returns the quality.
func (d *Decoder) quality(m *members) (reading.Quality, error) {
	b, err := d.text(m, qualityField)
	if err != nil || len(b) == 0 {
		return reading.Unspecified, err
	}
	for q := reading.Unspecified; q.Valid(); q++ {
		if q.String() == string(b) {
			return q, nil
		}
	}
	return 0, fmt.Errorf("quality: %s is not known; use actual, estimated, corrected or withdrawn", excerpt(b))
}

// revision returns the revision.
func (d *Decoder) revision(t token) (uint64, error) {
	b := t.raw
	switch t.kind {
	case absent:
		return 0, nil
	case number:
	case text, escaped:
		var err error
		if b, err = d.resolve(t, fieldNames[revisionField]); err != nil {
			return 0, err
		}
	default:
		return 0, mistyped(fieldNames[revisionField], t, "a whole number")
	}
	if n, ok := parseUint(b); ok {
		return n, nil
	}
	return 0, fmt.Errorf("revision: %s is no whole number from 0 to 18446744073709551615", excerpt(b))
}

// length returns the span that the value covers.
func (d *Decoder) length(t token) (length time.Duration, err error) {
	b := t.raw
	var ok bool
	switch t.kind {
	case absent:
		return 0, nil
	case number:
		length, ok = parseSeconds(b)
	case text, escaped:
		if b, err = d.resolve(t, fieldNames[lengthField]); err != nil {
			return 0, err
		}
		length, ok = parseLength(b, &d.names)
	default:
		return 0, mistyped(fieldNames[lengthField], t, "a duration")
	}
	if !ok {
		return 0, fmt.Errorf("length: %s is no length from 0 to 292 years; "+
			`write "15m", "PT15M" or a number of seconds`, excerpt(b))
	}
	return length, nil
}
