package bronze

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/energy-platform/energy/pkg/reading"
)

// absolute is the least time that SenML does not take as relative, in ns.
const absolute = 1 << 28 * 1_000_000_000

// maxBaseName bounds the base name, in bytes, and so what a short record can
// grow to. Silver takes in half of it for an entity or a metric.
const maxBaseName = 512

// pack is what the base fields of a SenML pack say, up to the present record.
type pack struct {
	name   []byte // the base name, then the name of a record
	prefix int    // length of the base name
	time   int64  // ns
	unit   string
	value  float64
	lost   [kept]uint32 // 1 + the index of the record that set a base field wrongly
}

// rebase takes the base fields of a record into the pack, each for itself, and
// returns the first fault among them.
func (d *Decoder) rebase(m *record) error {
	var first error
	for l := baseNameLabel; l < kept; l++ {
		t := m.tokens[l]
		if t.kind == absent && !m.spoiled[l] {
			continue
		}
		d.pack.lost[l] = 0
		var err error
		if !m.spoiled[l] {
			err = d.setBase(l, t)
		}
		if err != nil || m.spoiled[l] {
			d.pack.lost[l] = d.next + 1
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// setBase sets a base field.
func (d *Decoder) setBase(l label, t token) (err error) {
	p := &d.pack
	switch l {
	case baseNameLabel:
		p.name, err = appendText(p.name[:0], t, l)
		if p.prefix = len(p.name); err == nil && p.prefix > maxBaseName {
			err = fmt.Errorf("bn: has %d bytes; at most %d are taken in", p.prefix, maxBaseName)
		}
	case baseTimeLabel:
		p.time, err = seconds(t, l)
	case baseUnitLabel:
		p.unit, err = d.senmlUnit(t, l)
	default: // baseValueLabel
		p.value, err = float(t, l)
	}
	return err
}

// resolved makes a reading of a record and the base fields before and in it,
// as RFC 8428 section 4.6 resolves records.
func (d *Decoder) resolved(m *record) (r reading.Reading, err error) {
	if r.Value, err = d.recordValue(m); err != nil {
		return r, err
	}
	if r.EntityID, r.Metric, err = d.recordName(m); err != nil {
		return r, err
	}
	if r.Time, err = d.recordTime(m); err != nil {
		return r, err
	}
	if t := m.tokens[unitLabel]; t.kind != absent {
		r.Unit, err = d.senmlUnit(t, unitLabel)
		return r, err
	}
	r.Unit = d.pack.unit
	return r, d.known(baseUnitLabel)
}

// known returns a fault where a record rests on a base field that was set
// wrongly.
func (d *Decoder) known(l label) error {
	if at := d.pack.lost[l]; at != 0 {
		return fmt.Errorf("%s: this record rests on it, and the record at index %d sets it wrongly; mend that one",
			labelNames[l], at-1)
	}
	return nil
}

// recordValue returns the value.
func (d *Decoder) recordValue(m *record) (float64, error) {
	for _, l := range [...]label{textLabel, truthLabel, dataLabel} {
		if m.tokens[l].kind != absent {
			return 0, fmt.Errorf("%s: only numbers are taken in; send a number in v, or leave the record out", labelNames[l])
		}
	}
	t := m.tokens[valueLabel]
	switch {
	case t.kind != absent:
	case m.tokens[sumLabel].kind != absent:
		return 0, errors.New("s: a sum alone is not taken in, as it tells no start; send the state of the register in v")
	default:
		return 0, errors.New("v: missing; give the value as a number")
	}
	v, err := float(t, valueLabel)
	if err == nil {
		err = d.known(baseValueLabel)
	}
	if err != nil || d.pack.value == 0 {
		return v, err
	}
	return d.pack.value + v, nil
}

// recordName returns the entity and the metric that the joined names name.
func (d *Decoder) recordName(m *record) (entity, metric string, err error) {
	p := &d.pack
	if err = d.known(baseNameLabel); err != nil {
		return "", "", err
	}
	p.name = p.name[:p.prefix]
	if t := m.tokens[nameLabel]; t.kind != absent {
		if p.name, err = appendText(p.name, t, nameLabel); err != nil {
			return "", "", err
		}
	}
	first, last, ok := cutName(p.name)
	if !ok {
		return "", "", fmt.Errorf(`n: the name %s, bn and n joined, does not tell an entity from a metric; `+
			`write bn "meter-7/" and n "active_power"`, excerpt(p.name))
	}
	return d.name(entityField, first), d.name(metricField, last), nil
}

// cutName cuts a name into entity and metric.
func cutName(name []byte) (entity, metric []byte, ok bool) {
	i := bytes.LastIndexByte(name, '/')
	if i < 0 {
		if i = bytes.LastIndexByte(name, ':'); i < 0 || endsAddress(name[i+1:]) {
			return nil, nil, false
		}
	}
	return name[:i], name[i+1:], i > 0 && i+1 < len(name)
}

// endsAddress reports whether what follows a colon looks like the end of a
// number, as of an IPv6 or a MAC address, a UUID or a device's serial.
func endsAddress(b []byte) bool {
	if len(b) > 0 && isDigit(b[0]) {
		return true
	}
	for _, c := range b {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') && c != '-' {
			return false
		}
	}
	return true
}

// recordTime returns the time in Unix ns.
func (d *Decoder) recordTime(m *record) (ns int64, err error) {
	if err = d.known(baseTimeLabel); err != nil {
		return 0, err
	}
	if t := m.tokens[timeLabel]; t.kind != absent {
		if ns, err = seconds(t, timeLabel); err != nil {
			return 0, err
		}
	}
	ns, fits := sum(ns, d.pack.time)
	if fits && ns < absolute {
		if d.Received == 0 {
			return 0, errors.New(`t: the time is relative to "now", which is not known here; ` +
				"give the seconds since 1970 in bt or t")
		}
		ns, fits = sum(ns, d.Received)
	}
	if !fits {
		return 0, fmt.Errorf("t: the sum of bt and t %w; SenML counts time in seconds", errTimeRange)
	}
	return ns, nil
}

// senmlUnit returns the catalogue's symbol of a SenML unit (RFC 8428 section
// 12.1). Most are spelled alike; in SenML "%" is a ratio, not a percentage.
func (d *Decoder) senmlUnit(t token, l label) (string, error) {
	if t.kind != text && t.kind != escaped {
		return "", mistyped(labelNames[l], t, "text in double quotes")
	}
	b, err := d.resolve(t, labelNames[l])
	if err != nil {
		return "", err
	}
	switch string(b) {
	case "Cel":
		return "°C", nil
	case "/", "%":
		return "1", nil
	case "%RH", "%EL":
		return "%", nil
	}
	return d.name(unitField, b), nil
}

// appendText appends what a string stands for.
func appendText(to []byte, t token, l label) ([]byte, error) {
	switch t.kind {
	case text:
		return append(to, t.raw...), nil
	case escaped:
		joined, ok := unescape(to, t.raw)
		if !ok {
			return to, halfPair(labelNames[l], t)
		}
		return joined, nil
	default:
		return to, mistyped(labelNames[l], t, "text in double quotes")
	}
}

// float returns a number.
func float(t token, l label) (float64, error) {
	if t.kind != number {
		return 0, mistyped(labelNames[l], t, "a number")
	}
	v, _ := parseFloat(t.raw)
	return v, nil
}
