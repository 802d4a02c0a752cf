package source

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/energy-platform/energy/pkg/reading"
)

// csvRows makes readings of the rows of a CSV file.
type csvRows struct {
	*plan
	file   string
	lines  *lines
	counts *Counts
	fields []string
	width  int
	key    []byte
	text   strings.Builder
	names  map[string]string
}

// newCSV reads the header and finds the mapping's columns in it.
func newCSV(file string, l *lines, p *plan, counts *Counts) (*csvRows, error) {
	c := &csvRows{plan: p, file: file, lines: l, counts: counts, names: map[string]string{}}
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
	if err := p.bind(header, c.width); err != nil {
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
		return append(queue, item{line: ln.number, err: c.broken(ln, fault)}), nil
	}
	return c.convert(queue, ln.number), nil
}

// broken says why a row cannot be split into its fields.
func (c *csvRows) broken(ln line, expected string) *RowError {
	e := &RowError{File: c.file, Line: ln.number, Found: excerpt(ln.text), Expected: expected}
	switch n := len(c.fields); {
	case !ln.ended && n < c.width:
		e.Hint = halfWritten
	case c.width > 0 && n != c.width && strings.HasSuffix(expected, " fields"):
		e.Found = fmt.Sprintf("%d", n)
		e.Hint = fmt.Sprintf("the delimiter is %q; a field that holds it must stand in double quotes", c.delimiter)
	}
	return e
}

// convert appends the readings of the row in fields.
func (c *csvRows) convert(queue []item, number int) []item {
	at, fault := c.rowTime()
	if fault != nil {
		return c.reject(queue, number, fault)
	}
	for i := range c.series {
		r, ok, fault := c.reading(&c.series[i])
		switch {
		case fault != nil:
			queue = c.reject(queue, number, fault)
		case ok:
			r.Time = at
			queue = append(queue, item{line: number, reading: r})
		default:
			c.counts.Absent++
		}
	}
	return queue
}

func (c *csvRows) reject(queue []item, number int, fault *RowError) []item {
	fault.File, fault.Line = c.file, number
	return append(queue, item{line: number, err: fault})
}

// rowTime returns the time of the row. Its series is told by the entities and
// metrics that stand in columns.
func (c *csvRows) rowTime() (int64, *RowError) {
	c.key = c.key[:0]
	for i := range c.series {
		for _, r := range [...]*ref{&c.series[i].entity, &c.series[i].metric} {
			if r.column != "" {
				c.key = append(append(c.key, r.of(c.fields)...), 0)
			}
		}
	}
	text := c.times[0].of(c.fields)
	if len(c.times) > 1 {
		c.text.Reset()
		for i := range c.times {
			if i > 0 {
				c.text.WriteByte(' ')
			}
			c.text.WriteString(c.times[i].of(c.fields))
		}
		text = c.text.String()
	}
	at, err := c.time.parse(text, c.key)
	if err == nil {
		return at, nil
	}
	fault := &RowError{Column: c.timeColumns(), Found: excerpt(text), Expected: err.Error()}
	switch {
	case errors.Is(err, errForm):
		fault.Expected = "a time like " + c.time.example()
		fault.Hint = "the mapping's time layout is " + strconv.Quote(c.time.name)
	case errors.Is(err, errSkipped):
		zone := c.time.clock.loc.String()
		fault.Expected = "a time that exists in " + zone
		fault.Hint = err.Error() +
			"; if the file's clock does not change in summer, name its zone: UTC, or Etc/GMT-1 for UTC+1"
	}
	return 0, fault
}

func (c *csvRows) timeColumns() string {
	var names []string
	for _, t := range c.times {
		names = append(names, t.column)
	}
	return strings.Join(names, "+")
}

// reading makes a reading without its time; ok is false where the cell says
// that there is none.
func (c *csvRows) reading(s *series) (r reading.Reading, ok bool, fault *RowError) {
	r = s.constant
	if s.quality.column != "" {
		text := c.cell(&s.quality)
		q, err := reading.ParseQuality(text)
		if err != nil {
			return r, false, cellFault(&s.quality, text, errQuality, "")
		}
		r.Quality = q
	}
	text := s.value.of(c.fields)
	switch {
	case !c.absent[text]:
		if r.Value, fault = c.value(s, &s.value, text); fault != nil {
			return r, false, fault
		}
	case r.Quality != reading.Withdrawn:
		return r, false, nil
	}
	if r.EntityID, fault = c.name(&s.entity, true); fault != nil {
		return r, false, fault
	}
	if r.Metric, fault = c.name(&s.metric, true); fault != nil {
		return r, false, fault
	}
	if r.Unit, fault = c.name(&s.unit, false); fault != nil {
		return r, false, fault
	}
	fault = c.extras(s, &r)
	return r, true, fault
}

// extras sets length, revision and exchange start where they stand in columns.
func (c *csvRows) extras(s *series, r *reading.Reading) *RowError {
	var err error
	if s.length.column != "" {
		text := c.cell(&s.length)
		if r.Length, err = parseLength(text); err != nil {
			return cellFault(&s.length, text, err, "")
		}
	}
	if s.revision.column != "" {
		text := c.cell(&s.revision)
		if r.Revision, err = parseRevision(text); err != nil {
			return cellFault(&s.revision, text, err, "")
		}
	}
	if text := c.cell(&s.exchange); s.exchange.column != "" && text != "" {
		var fault *RowError
		r.Exchange = true
		if r.ExchangeStart, fault = c.value(s, &s.exchange, text); fault != nil {
			return fault
		}
	}
	return nil
}

// cell returns what stands in a column, nothing where that means absent.
func (c *csvRows) cell(r *ref) string {
	if text := r.of(c.fields); !c.absent[text] {
		return text
	}
	return ""
}

var errNumber = errors.New("a number such as 234.84")

// value parses a decimal number: no NaN, no hexadecimal, no thousands.
func (c *csvRows) value(s *series, r *ref, text string) (float64, *RowError) {
	number, hint := text, ""
	switch {
	case c.comma && strings.Contains(text, "."):
		hint = "the mapping has decimal: comma, so a point cannot stand in a number"
	case c.comma:
		number = strings.Replace(text, ",", ".", 1)
	case strings.Contains(text, ","):
		hint = "for a decimal comma set decimal: comma; marks between thousands are not read"
	}
	if strings.Trim(number, "0123456789+-.eE") == "" && hint == "" {
		if v, err := strconv.ParseFloat(number, 64); err == nil {
			return v * s.scale, nil
		}
	}
	if hint == "" {
		hint = fmt.Sprintf("if it means that there is no reading, add %q to absent", text)
	}
	return 0, cellFault(r, text, errNumber, hint)
}

// maxNames bounds the table of names.
const maxNames = 64 << 10

// name returns an entity, metric or unit as a string that does not hold on to
// its row.
func (c *csvRows) name(r *ref, required bool) (string, *RowError) {
	if r.column == "" {
		return r.text, nil
	}
	text := c.cell(r)
	if known, ok := c.names[text]; ok {
		return known, nil
	}
	if text == "" && required {
		return "", cellFault(r, text, errors.New("a name"), "")
	}
	if !utf8.ValidString(text) {
		return "", cellFault(r, text, errors.New("UTF-8"), "convert the file: iconv -f latin1 -t utf-8")
	}
	if len(c.names) >= maxNames {
		clear(c.names)
	}
	text = strings.Clone(text)
	c.names[text] = text
	return text, nil
}

func cellFault(r *ref, text string, expected error, hint string) *RowError {
	return &RowError{Column: r.column, Found: excerpt(text), Expected: expected.Error(), Hint: hint}
}
