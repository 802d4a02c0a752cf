package bronze

import (
	"errors"
	"fmt"
	"math"

	"github.com/energy-platform/energy/pkg/reading"
)

const mendRecord = `; a SenML pack is an array of records such as ` +
	`{"bn":"meter-1/","n":"active_power","u":"W","t":1769860800,"v":12.5}`

// label is what a member of a SenML record says (RFC 8428 section 4.3).
type label uint8

const (
	noLabel label = iota
	baseNameLabel
	baseTimeLabel
	baseUnitLabel
	baseValueLabel
	kept // the labels before it hold for the records that follow
	baseSumLabel
	versionLabel
	nameLabel
	unitLabel
	valueLabel
	textLabel
	truthLabel
	dataLabel
	sumLabel
	timeLabel
	updateLabel
	labels
)

var labelNames = [labels]string{
	"", "bn", "bt", "bu", "bv", "", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut",
}

func (l label) isBase() bool  { return l > noLabel && l < nameLabel }
func (l label) isValue() bool { return l >= valueLabel && l <= dataLabel }

// labelOf returns the label of a member's name.
func labelOf(name []byte) label {
	switch string(name) {
	case "bn":
		return baseNameLabel
	case "bt":
		return baseTimeLabel
	case "bu":
		return baseUnitLabel
	case "bv":
		return baseValueLabel
	case "bs":
		return baseSumLabel
	case "bver":
		return versionLabel
	case "n":
		return nameLabel
	case "u":
		return unitLabel
	case "v":
		return valueLabel
	case "vs":
		return textLabel
	case "vb":
		return truthLabel
	case "vd":
		return dataLabel
	case "s":
		return sumLabel
	case "t":
		return timeLabel
	case "ut":
		return updateLabel
	}
	return noLabel
}

// record holds the members of a SenML record, as members does a reading's.
type record struct {
	tokens  [labels]token
	spoiled [kept]bool // base fields whose text has a flaw
	flaw    defect     // the first
	must    token      // the name of a member that must be understood and is not
	base    bool       // a base field stands in it
	regular bool       // another field stands in it
	kind    kind       // of the whole value; the rest holds for an object only
}

// decodePack decodes a SenML pack.
func (d *Decoder) decodePack(payload []byte, open bool) {
	d.pack = pack{name: d.pack.name[:0]}
	s := &d.scan
	if s.begin(payload); s.peek() != '[' {
		s.fail("the opening bracket of an array is missing")
		d.refuse(payload, s.broken.String()+mendRecord)
		return
	}
	d.decodeArray((*Decoder).decodeRecord, open)
}

// decodeRecord decodes the record at the position; false means that neither
// it nor what follows can be read.
func (d *Decoder) decodeRecord() bool {
	s := &d.scan
	start := s.pos
	var m record
	if !d.parseRecord(&m) {
		return false
	}
	raw := s.data[start:s.pos]
	if m.kind != object && m.flaw.what == "" {
		d.refuse(raw, kindNames[m.kind]+" stands where a record should"+mendRecord)
		return true
	}
	err := d.rebase(&m)
	switch {
	case m.flaw.what != "":
		err = errors.New(m.flaw.String())
	case err != nil:
	case m.must.kind != absent:
		err = fmt.Errorf("%s: must be understood, as it ends with \"_\", and is not known here; leave it out or rename it",
			excerpt(m.must.raw))
	case m.base && !m.regular:
		return true
	}
	var r reading.Reading
	if err == nil {
		r, err = d.resolved(&m)
	}
	if err != nil {
		d.refuse(raw, err.Error())
		return true
	}
	d.accept(r)
	return true
}

// parseRecord scans the value at the position into m.
func (d *Decoder) parseRecord(m *record) bool {
	s := &d.scan
	s.flaw = defect{}
	if s.peek() != '{' {
		t, ok := s.value()
		m.kind, m.flaw = t.kind, s.flaw
		return ok
	}
	m.kind = object
	for more := s.firstMember(); more; more = s.nextMember() {
		if !d.recordMember(m) {
			return false
		}
	}
	return s.broken.what == ""
}

// recordMember scans one member of a record.
func (d *Decoder) recordMember(m *record) bool {
	s := &d.scan
	start := s.pos
	key, ok := s.key()
	if !ok {
		return false
	}
	name := d.memberName(key)
	l := labelOf(name)
	if s.flaw.what != "" { // it might have been any label
		m.spoiled = [kept]bool{true, true, true, true, true}
	}
	must := l == noLabel && len(name) > 0 && name[len(name)-1] == '_'
	if must && name[0] == 'b' {
		s.broken = defect{"the base field " + excerpt(name) + " must be understood and is not known here, it stands", start}
		return false
	}
	value, ok := s.value()
	if !ok {
		return false
	}
	if l == versionLabel && !understood(value) {
		s.broken = defect{"the version bver " + excerpt(value.raw) + " is not 1 to 10 or 26, it stands", start}
		return false
	}
	s.space()
	m.note(l, value)
	if must && m.must.kind == absent {
		m.must = key
	}
	if l == noLabel || l == sumLabel || l == baseSumLabel {
		d.unknown++
	}
	if s.flaw.what != "" {
		if l < kept {
			m.spoiled[l] = true
		}
		if m.flaw.what == "" {
			m.flaw = s.flaw
		}
		s.flaw = defect{}
	}
	return true
}

// note keeps the value of a label; a null counts as not there.
func (m *record) note(l label, value token) {
	if value.kind == null {
		return
	}
	m.tokens[l] = value
	m.base = m.base || l.isBase()
	m.regular = m.regular || l >= nameLabel
}

// understood reports whether a version is one that this package reads.
func understood(version token) bool {
	if version.kind != number {
		return version.kind == null
	}
	n, ok := parseUint(version.raw)
	return ok && (n >= 1 && n <= 10 || n == 26)
}

// seconds returns a number of seconds in ns, rounded down.
func seconds(t token, l label) (int64, error) {
	if t.kind != number {
		return 0, mistyped(labelNames[l], t, "a number of seconds")
	}
	d, _ := parseDecimal(t.raw)
	ns, err := d.nanos(9)
	if err != nil {
		return 0, fmt.Errorf("%s: %s %w; SenML counts time in seconds", labelNames[l], excerpt(t.raw), err)
	}
	return ns, nil
}

// sum returns a + b unless it overflows.
func sum(a, b int64) (int64, bool) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return 0, false
	}
	return a + b, true
}
