package source

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// csvRows makes readings of the rows of a CSV file.
type csvRows struct {
	table
	lines *lines
	width int
}

// newCSV reads the header and finds the mapping's columns in it.
func newCSV(file string, l *lines, p *plan, counts *Counts) (*csvRows, error) {
	if p.time.name == timestamp {
		return nil, fmt.Errorf("%s is a CSV, in which a time is text: %w", file, errNoLayout)
	}
	c := &csvRows{table: newTable(file, p, counts), lines: l}
	ln, fault, err := c.record()
	switch {
	case errors.Is(err, io.EOF) && !p.header:
		return c, nil
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s is empty; expected a header line (or set header: false)", file)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case fault != "":
		return nil, c.broken(ln, fault)
	}
	header := c.fields
	if !p.header {
		header = nil
		l.unread(ln)
	}
	c.width = len(c.fields)
	if err := p.bind("header", header, c.width); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, ln.number, err)
	}
	return c, nil
}

// record reads the next row that is neither empty nor a comment into fields.
func (c *csvRows) record() (ln line, fault string, err error) {
	for {
		ln, c.fields, fault, err = c.lines.record(c.delimiter, c.fields)
		blank := strings.TrimSpace(ln.text) == ""
		comment := c.comment != "" && strings.HasPrefix(ln.text, c.comment)
		if err != nil || !blank && !comment {
			return ln, fault, err
		}
	}
}

func (c *csvRows) read(queue []item) ([]item, error) {
	ln, fault, err := c.record()
	if err != nil {
		return queue, err
	}
	c.counts.Rows++
	if fault == "" && len(c.fields) != c.width {
		fault = fmt.Sprintf("%d fields", c.width)
	}
	if fault != "" {
		return append(queue, item{at: Position{Line: ln.number}, err: c.broken(ln, fault)}), nil
	}
	return c.convert(queue, Position{Line: ln.number}), nil
}

// broken says why a row cannot be split into its fields.
func (c *csvRows) broken(ln line, expected string) *RowError {
	e := &RowError{File: c.file, Position: Position{Line: ln.number}, Found: excerpt(ln.text), Expected: expected}
	switch n := len(c.fields); {
	case !ln.ended && n < c.width:
		e.Hint = halfWritten
	case c.width > 0 && n != c.width && strings.HasSuffix(expected, " fields"):
		e.Found = fmt.Sprintf("%d", n)
		e.Hint = fmt.Sprintf("the delimiter is %q; a field that holds it must stand in double quotes", c.delimiter)
	}
	return e
}
