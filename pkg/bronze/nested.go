package bronze

import (
	"bytes"
	"fmt"
)

// maxDepth bounds how deep values inside a reading may be nested.
const maxDepth = 64

// nesting is a stack of open brackets, the innermost in the lowest bit: 1 for
// an object, 0 for an array.
type nesting struct {
	bits  uint64
	depth int
}

func (n *nesting) inObject() bool { return n.bits&1 == 1 }

func (n *nesting) push(bracket byte) {
	n.bits <<= 1
	if bracket == '{' {
		n.bits |= 1
	}
	n.depth++
}

func (n *nesting) pop() {
	n.bits >>= 1
	n.depth--
}

// nested passes over the object or array at the position.
func (s *scanner) nested() (token, bool) {
	start, kind := s.pos, array
	if s.peek() == '{' {
		kind = object
	}
	var n nesting
	for {
		if !s.inner(&n) || !s.closing(&n) {
			return token{}, false
		}
		if n.depth == 0 {
			return token{s.data[start:s.pos], kind}, true
		}
	}
}

// inner passes over one value inside brackets, or over the opening bracket of
// one and on to the first scalar, empty value or too deep value in it.
func (s *scanner) inner(n *nesting) bool {
	for {
		bracket := s.peek()
		if bracket != '{' && bracket != '[' {
			_, ok := s.value()
			return ok
		}
		if n.depth == maxDepth {
			return s.balanced()
		}
		n.push(bracket)
		s.pos++
		s.space()
		if s.peek() == bracket+2 { // '}' is '{'+2, ']' is '['+2
			return true
		}
		if n.inObject() {
			if _, ok := s.key(); !ok {
				return false
			}
		}
	}
}

// closing passes over the closing brackets after a value, up to where the
// next value begins or the outermost bracket has closed.
func (s *scanner) closing(n *nesting) bool {
	for n.depth > 0 {
		s.space()
		c := s.peek()
		switch {
		case c == ']' && !n.inObject(), c == '}' && n.inObject():
			s.pos++
			n.pop()
		case c == ',':
			s.pos++
			s.space()
			if !n.inObject() {
				return true
			}
			_, ok := s.key()
			return ok
		default:
			return s.fail("a comma or a closing bracket is missing")
		}
	}
	return true
}

// balanced passes over a value that is nested too deep, counting brackets.
func (s *scanner) balanced() bool {
	s.mar(fmt.Sprintf("values are nested deeper than %d levels", maxDepth), s.pos)
	for depth := 0; ; {
		i := bytes.IndexAny(s.data[s.pos:], `"{}[]`)
		if i < 0 {
			s.pos = len(s.data)
			return s.fail("a closing bracket is missing")
		}
		s.pos += i
		switch s.data[s.pos] {
		case '"':
			if _, ok := s.text(); !ok {
				return false
			}
			continue
		case '{', '[':
			depth++
		default:
			depth--
		}
		s.pos++
		if depth == 0 {
			return true
		}
	}
}
