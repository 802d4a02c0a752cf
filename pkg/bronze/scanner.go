package bronze

import (
	"fmt"
	"unicode/utf8"
)

var byteOrderMark = []byte("\uFEFF")

// kind is what a JSON value is.
type kind uint8

const (
	absent kind = iota
	null
	boolean
	number
	text    // raw stands between the quotes
	escaped // as text, with escapes in it
	object
	array
	junk // a word that JSON does not know
)

var kindNames = [...]string{
	"nothing", "null", "a truth value", "a number", "text", "text", "an object", "an array", "a word unknown to JSON",
}

// token is a JSON value as it stands in the payload.
type token struct {
	raw  []byte
	kind kind
}

// defect is what is wrong with a text, and where.
type defect struct {
	what string
	at   int
}

// String says it to people.
func (d defect) String() string { return fmt.Sprintf("%s at byte %d of the message", d.what, d.at) }

// scanner walks over JSON (RFC 8259) once and without recursion. It knows two
// kinds of defect: a flaw lies in a single word or string and leaves the end
// of the value beyond doubt, so that the neighbours can be read; a break of
// the grammar does not.
type scanner struct {
	data   []byte
	pos    int
	flaw   defect // the first since it was last cleared
	broken defect // set when a method returns false
}

func (s *scanner) reset(data []byte) { *s = scanner{data: data} }

// mar notes a flaw.
func (s *scanner) mar(what string, at int) {
	if s.flaw.what == "" {
		s.flaw = defect{what, at}
	}
}

// fail notes that the grammar is broken here and returns false.
func (s *scanner) fail(what string) bool {
	if s.pos >= len(s.data) {
		what = "the text ends too early: " + what
	}
	s.broken = defect{what, s.pos}
	return false
}

// peek returns the byte at the position, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// space passes over white space.
func (s *scanner) space() {
	for s.pos < len(s.data) && isSpace(s.data[s.pos]) {
		s.pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// value passes over the value at the position.
func (s *scanner) value() (token, bool) {
	switch s.peek() {
	case '"':
		return s.text()
	case '{', '[':
		return s.nested()
	}
	return s.word()
}

// key passes over a member's name and its colon, to where the value begins.
func (s *scanner) key() (token, bool) {
	if s.peek() != '"' {
		return token{}, s.fail("a member's name in double quotes is missing")
	}
	name, ok := s.text()
	if !ok {
		return token{}, false
	}
	s.space()
	if s.peek() != ':' {
		return token{}, s.fail("a colon is missing after a member's name")
	}
	s.pos++
	s.space()
	return name, true
}

// text passes over the string at the position. Escapes are checked here and
// resolved by unescape.
func (s *scanner) text() (token, bool) {
	start, wide, kind := s.pos+1, false, text
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			raw := s.data[start:i]
			if wide && !utf8.Valid(raw) {
				s.mar("a string is not valid UTF-8", start)
			}
			return token{raw, kind}, true
		case c == '\\':
			if !validEscape(s.data[i+1:]) {
				s.mar("an escape unknown to JSON stands in a string", i)
			}
			kind = escaped
			i++
		case c < ' ':
			s.mar("a control character stands unescaped in a string", i)
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	s.pos = len(s.data)
	return token{}, s.fail("a string is not closed")
}

// validEscape reports whether b begins with what may follow a backslash.
func validEscape(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		_, ok := hex4(b[1:])
		return ok
	}
	return false
}

// word passes over a number, null, true, false, or a word that is none of
// them.
func (s *scanner) word() (token, bool) {
	start := s.pos
	if end := numberEnd(s.data, start); end > start && (end == len(s.data) || isDelimiter(s.data[end])) {
		s.pos = end
		return token{s.data[start:end], number}, true
	}
	for s.pos < len(s.data) && !isDelimiter(s.data[s.pos]) {
		s.pos++
	}
	raw := s.data[start:s.pos]
	switch string(raw) {
	case "":
		return token{}, s.fail("a value is missing")
	case "null":
		return token{raw, null}, true
	case "true", "false":
		return token{raw, boolean}, true
	}
	s.mar(excerpt(raw)+" is neither a JSON number nor null, true or false", start)
	return token{raw, junk}, true
}

// isDelimiter reports whether c ends a word.
func isDelimiter(c byte) bool {
	switch c {
	case ',', '}', ']', ':', '"', '{', '[':
		return true
	}
	return c <= ' '
}

// numberEnd returns the end of the JSON number that begins at b[i], or 0.
func numberEnd(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	whole := i
	i = digitsEnd(b, i)
	if i == whole || b[whole] == '0' && i > whole+1 {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		fraction := i + 1
		if i = digitsEnd(b, fraction); i == fraction {
			return 0
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		if i = digitsEnd(b, i); i == exponent {
			return 0
		}
	}
	return i
}

// digitsEnd returns the end of the decimal digits that begin at b[i].
func digitsEnd(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }
