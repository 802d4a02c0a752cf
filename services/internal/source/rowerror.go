package source

import (
	"fmt"
	"strings"
)

// RowError is what is wrong with one row, or with one cell of it.
type RowError struct {
	File     string
	Position        // zero when it is not known
	Column   string // its name, or #n; empty when the whole row is meant
	Found    string // what stands there, shortened
	Expected string // what should; empty when the hint says all
	Hint     string // what mends it
}

// Error says where, what, and what mends it.
func (e *RowError) Error() string {
	var b strings.Builder
	b.WriteString(e.In(e.File))
	b.WriteString(": ")
	if e.Column != "" {
		fmt.Fprintf(&b, "column %s: ", e.Column)
	}
	if e.Expected == "" {
		b.WriteString(e.Hint)
		return b.String()
	}
	if e.Found != "" {
		fmt.Fprintf(&b, "found %s, ", e.Found)
	}
	fmt.Fprintf(&b, "expected %s", e.Expected)
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// In names the position in a file.
func (p Position) In(file string) string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d", file, p.Line)
	case p.Row > 0:
		return fmt.Sprintf("%s: row %d", file, p.Row)
	}
	return file
}

// excerpt quotes text, shortened for a message.
func excerpt(text string) string {
	const most = 40
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return fmt.Sprintf("%q", text)
}
