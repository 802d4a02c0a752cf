package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of one record.
const (
	maxRecord = 1 << 20 // bytes
	maxSpan   = 64      // lines that a quoted field may run over
)

// line is a line without its end.
type line struct {
	text   string
	number int
	ended  bool // a newline followed
	cut    bool // longer than maxRecord; text is its beginning
}

// lines reads lines in bounded memory.
type lines struct {
	r       *bufio.Reader
	number  int
	open    bool   // the last line has no newline at its end
	pending []line // read ahead in vain
}

// next returns the next line. The end is io.EOF.
func (l *lines) next() (line, error) {
	if len(l.pending) > 0 {
		first := l.pending[0]
		l.pending = l.pending[1:]
		return first, nil
	}
	var text []byte
	ln := line{number: l.number + 1}
	for {
		part, err := l.r.ReadSlice('\n')
		if room := maxRecord - len(text); len(part) > room {
			part, ln.cut = part[:room], true
		}
		if text == nil && err == nil {
			text = part // the usual case: no copy before the string is made
		} else {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil:
			ln.ended = true
		case !errors.Is(err, io.EOF):
			return line{}, fmt.Errorf("read on after line %d: %w", l.number, err)
		case len(text) == 0:
			return line{}, io.EOF
		}
		l.number++
		l.open = !ln.ended
		ln.text = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		return ln, nil
	}
}

// unread gives lines back.
func (l *lines) unread(lines ...line) { l.pending = append(lines, l.pending...) }

// record returns the next line split into fields. A quoted field may run over
// several lines; where its quote does not close, only the first line is lost.
func (l *lines) record(delimiter byte, fields []string) (line, []string, string, error) {
	first, err := l.next()
	if err != nil {
		return line{}, nil, "", err
	}
	if first.cut {
		return first, nil, fmt.Sprintf("a line of at most %d bytes", maxRecord), nil
	}
	whole := first
	var ahead []line
	for {
		var open bool
		var fault string
		fields, open, fault = split(whole.text, delimiter, fields[:0])
		if !open {
			return whole, fields, fault, nil
		}
		next, err := l.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return line{}, nil, "", err
		}
		if err == nil {
			ahead = append(ahead, next)
		}
		if err != nil || next.cut || len(ahead) == maxSpan || len(whole.text)+len(next.text) >= maxRecord {
			l.unread(ahead...)
			return first, nil, "a quote (\") that closes the quoted field", nil
		}
		whole.text += "\n" + next.text
		whole.ended = next.ended
	}
}

// split cuts a record into fields as RFC 4180 has it, and free of the space
// around them. A quote inside a field that does not begin with one is text.
// Open means that a quoted field has not ended; fault says what was expected.
func split(text string, delimiter byte, fields []string) (_ []string, open bool, fault string) {
	for {
		rest := strings.TrimLeft(text, " ")
		if strings.HasPrefix(rest, `"`) {
			field, after, closed := quoted(rest[1:])
			if !closed {
				return fields, true, ""
			}
			fields = append(fields, field)
			after = strings.TrimLeft(after, " ")
			if after == "" {
				return fields, false, ""
			}
			if after[0] != delimiter {
				return fields, false, fmt.Sprintf("%q after the closing quote of field %d", delimiter, len(fields))
			}
			text = after[1:]
			continue
		}
		end := strings.IndexByte(text, delimiter)
		if end < 0 {
			return append(fields, strings.TrimSpace(text)), false, ""
		}
		fields = append(fields, strings.TrimSpace(text[:end]))
		text = text[end+1:]
	}
}

// quoted returns the field up to its closing quote, doubled quotes made single,
// and what follows.
func quoted(text string) (field, after string, closed bool) {
	var before string
	for {
		end := strings.IndexByte(text, '"')
		if end < 0 {
			return "", "", false
		}
		if !strings.HasPrefix(text[end+1:], `"`) {
			return strings.TrimSpace(before + text[:end]), text[end+1:], true
		}
		before += text[:end+1]
		text = text[end+2:]
	}
}
