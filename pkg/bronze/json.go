package bronze

import "bytes"

const mendObject = `; a reading is an object such as {"entity_id":"meter-1","metric":"active_energy_import",` +
	`"time":"2026-01-31T12:00:00Z","value":12.5}`

// decodeJSON decodes an object, an array, or objects each of which begins on
// a line of its own.
func (d *Decoder) decodeJSON(payload []byte) {
	s := &d.scan
	s.begin(payload)
	switch s.peek() {
	case '[':
		d.decodeArray((*Decoder).decodeElement, false)
	default:
		d.decodeObjects()
	}
}

// begin goes to where the first value of a payload begins.
func (s *scanner) begin(payload []byte) {
	s.reset(payload)
	if bytes.HasPrefix(payload, byteOrderMark) {
		s.pos = len(byteOrderMark)
	}
	s.space()
}

// decodeArray decodes the elements of the array at the position. Where the
// grammar breaks, the rest of the payload is one fault. An open array may end
// with the payload, after an element or a comma.
func (d *Decoder) decodeArray(element func(*Decoder) bool, open bool) {
	s := &d.scan
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		d.refuseRest()
		return
	}
	for !open || s.pos < len(s.data) {
		if start := s.pos; !element(d) {
			d.refuse(s.data[start:], s.broken.String()+"; this reading and what follows it is lost")
			return
		}
		s.space()
		switch {
		case s.peek() == ',':
			s.pos++
			s.space()
		case s.peek() == ']':
			s.pos++
			d.refuseRest()
			return
		case !open || s.pos < len(s.data):
			s.fail("a comma or the closing bracket of the array is missing")
			d.refuse(s.data[s.pos:], s.broken.String()+"; what follows is lost")
			return
		}
	}
}

// decodeElement decodes the reading at the position; false means that the
// grammar is broken.
func (d *Decoder) decodeElement() bool {
	start := d.scan.pos
	var m members
	if !d.parse(&m) {
		return false
	}
	d.conclude(&m, d.scan.data[start:d.scan.pos])
	return true
}

// refuseRest makes a fault of what follows the end of an array.
func (d *Decoder) refuseRest() {
	s := &d.scan
	if s.space(); s.pos < len(s.data) {
		s.fail("text follows the array")
		d.refuse(s.data[s.pos:], s.broken.String()+"; send one array a message")
	}
}

// decodeObjects decodes objects, each beginning on a line of its own. From
// the first on that breaks the grammar it takes them line by line, so that
// only the broken line is lost, and no payload is read more than twice.
func (d *Decoder) decodeObjects() {
	s := &d.scan
	if s.pos == len(s.data) {
		d.refuse(s.data, "the payload is empty"+mendObject)
	}
	for s.pos < len(s.data) {
		start := s.pos
		unknown := d.unknown
		var m members
		switch {
		case d.parse(&m) && s.lineEnds(m.kind):
			d.conclude(&m, s.data[start:s.pos])
		case bytes.Contains(s.data[start:], []byte("\n{")):
			d.unknown = unknown
			s.pos = start
			d.decodeLines(s.data)
			return
		default:
			d.refuse(s.data[start:], s.broken.String()+mendObject)
			return
		}
		s.space()
	}
}

// lineEnds reports whether the line or the text ends after the position, where a value
// of that kind does.
func (s *scanner) lineEnds(value kind) bool {
	for i := s.pos; i < len(s.data) && s.data[i] != '\n'; i++ {
		if !isSpace(s.data[i]) {
			s.pos = i
			return s.fail("text follows " + kindNames[value] + " on its line")
		}
	}
	return true
}

// decodeLines decodes one object a line, from the scanner's position on.
func (d *Decoder) decodeLines(payload []byte) {
	s := &d.scan
	if s.pos == 0 && bytes.HasPrefix(payload, byteOrderMark) {
		s.pos = len(byteOrderMark)
	}
	first := d.next
	for s.pos < len(payload) {
		end := len(payload)
		if i := bytes.IndexByte(payload[s.pos:], '\n'); i >= 0 {
			end = s.pos + i
		}
		s.data = payload[:end]
		if s.space(); s.pos < end {
			d.decodeLine()
		}
		s.pos = end + 1
	}
	s.data = payload
	if d.next == first {
		d.refuse(payload, "the payload is empty"+mendObject)
	}
}

// decodeLine decodes the line that ends with the scanner's data.
func (d *Decoder) decodeLine() {
	s := &d.scan
	start := s.pos
	var m members
	if d.parse(&m) && s.lineEnds(m.kind) {
		d.conclude(&m, s.data[start:s.pos])
		return
	}
	d.refuse(s.data[start:], s.broken.String()+"; this line is lost")
}

// parse scans the value at the position into m; false means that the grammar
// is broken and the value's end unknown.
func (d *Decoder) parse(m *members) bool {
	s := &d.scan
	s.flaw = defect{}
	if s.peek() != '{' {
		t, ok := s.value()
		m.kind = t.kind
		return ok
	}
	m.kind = object
	for more := s.firstMember(); more; more = s.nextMember() {
		if !d.member(m) {
			return false
		}
	}
	return s.broken.what == ""
}

// firstMember passes over the opening brace of an object and reports whether
// a member follows. It forgets an earlier break of the grammar.
func (s *scanner) firstMember() bool {
	s.broken = defect{}
	s.pos++
	if s.space(); s.peek() != '}' {
		return true
	}
	s.pos++
	return false
}

// nextMember passes over the comma or the closing brace after a member and
// reports whether another one follows; where neither stands, the grammar is
// broken.
func (s *scanner) nextMember() bool {
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true
	case '}':
		s.pos++
		return false
	default:
		return s.fail("a comma or a closing brace is missing")
	}
}

// member scans one member of an object.
func (d *Decoder) member(m *members) bool {
	s := &d.scan
	key, ok := s.key()
	if !ok {
		return false
	}
	value, ok := s.value()
	if !ok {
		return false
	}
	s.space()
	name := d.memberName(key)
	switch f := fieldOf(name); {
	case f == noField:
		d.unknown++
		if d.Unknown != nil {
			d.Unknown(name)
		}
	case value.kind != null:
		m.tokens[f] = value
	}
	return true
}

// memberName returns what the name of a member stands for, until the next
// call; nothing for one that holds half a surrogate pair, which no field has.
func (d *Decoder) memberName(key token) []byte {
	if key.kind != escaped || d.scan.flaw.what != "" {
		return key.raw
	}
	var ok bool
	if d.scratch, ok = unescape(d.scratch[:0], key.raw); !ok {
		return nil
	}
	return d.scratch
}

// conclude emits or refuses the value raw that was scanned into m.
func (d *Decoder) conclude(m *members, raw []byte) {
	if flaw := d.scan.flaw; flaw.what != "" {
		d.refuse(raw, flaw.String())
		return
	}
	if m.kind != object {
		d.refuse(raw, kindNames[m.kind]+" stands where a reading should"+mendObject)
		return
	}
	r, err := d.reading(m)
	if err != nil {
		d.refuse(raw, err.Error())
		return
	}
	d.accept(r)
}
