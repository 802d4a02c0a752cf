package source

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/energy-platform/energy/pkg/reading"
)

// table makes readings of rows of cells, whatever file they come from. A row is
// read into fields, then converted.
type table struct {
	*plan
	file   string
	counts *Counts
	fields []string
	nulls  []bool // cells without a value; nil where the file knows none
	key    []byte
	text   strings.Builder
	names  map[string]string
}

func newTable(file string, p *plan, counts *Counts) table {
	return table{plan: p, file: file, counts: counts, names: map[string]string{}}
}

// convert appends the readings of the row in fields.
func (t *table) convert(queue []item, at Position) []item {
	moment, fault := t.rowTime()
	if fault != nil {
		return t.reject(queue, at, fault)
	}
	for i := range t.series {
		r, ok, fault := t.reading(&t.series[i])
		switch {
		case fault != nil:
			queue = t.reject(queue, at, fault)
		case ok:
			r.Time = moment
			queue = append(queue, item{at: at, reading: r})
		default:
			t.counts.Absent++
		}
	}
	return queue
}

func (t *table) reject(queue []item, at Position, fault *RowError) []item {
	fault.File, fault.Position = t.file, at
	return append(queue, item{at: at, err: fault})
}

// rowTime returns the time of the row. Its series is told by the entities and
// metrics that stand in columns.
func (t *table) rowTime() (int64, *RowError) {
	t.key = t.key[:0]
	for i := range t.series {
		for _, r := range [...]*ref{&t.series[i].entity, &t.series[i].metric} {
			if r.column != "" {
				t.key = append(append(t.key, r.of(t.fields)...), 0)
			}
		}
	}
	text := t.times[0].of(t.fields)
	if len(t.times) > 1 {
		t.text.Reset()
		for i := range t.times {
			if i > 0 {
				t.text.WriteByte(' ')
			}
			t.text.WriteString(t.times[i].of(t.fields))
		}
		text = t.text.String()
	}
	at, err := t.time.parse(text, t.key)
	if err == nil {
		return at, nil
	}
	fault := &RowError{Column: t.timeColumns(), Found: excerpt(text), Expected: err.Error()}
	switch {
	case t.isNull(&t.times[0]):
		fault.Found, fault.Expected = "null", "a time"
	case errors.Is(err, errForm):
		fault.Expected = "a time like " + t.time.example()
		fault.Hint = "the mapping's time layout is " + strconv.Quote(t.time.name)
		if layout := guessLayout(text); layout != "" {
			fault.Hint += fmt.Sprintf("; %q would read it", layout)
		}
	case errors.Is(err, errSkipped):
		zone := t.time.clock.loc.String()
		fault.Expected = "a time that exists in " + zone
		fault.Hint = err.Error() +
			"; if the file's clock does not change in summer, name its zone: UTC, or Etc/GMT-1 for UTC+1"
	}
	return 0, fault
}

func (t *table) timeColumns() string {
	names := make([]string, 0, len(t.times))
	for _, r := range t.times {
		names = append(names, r.column)
	}
	return strings.Join(names, "+")
}

// reading makes a reading without its time; ok is false where the cell says
// that there is none.
func (t *table) reading(s *series) (r reading.Reading, ok bool, fault *RowError) {
	r = s.constant
	if s.quality.column != "" {
		text := t.cell(&s.quality)
		q, err := reading.ParseQuality(text)
		if err != nil {
			return r, false, t.fault(&s.quality, text, errQuality, "")
		}
		r.Quality = q
	}
	text := s.value.of(t.fields)
	switch {
	case !t.isAbsent(&s.value, text):
		if r.Value, fault = t.value(s, &s.value, text); fault != nil {
			return r, false, fault
		}
	case r.Quality != reading.Withdrawn:
		return r, false, nil
	}
	if r.EntityID, fault = t.name(&s.entity, true); fault != nil {
		return r, false, fault
	}
	if r.Metric, fault = t.name(&s.metric, true); fault != nil {
		return r, false, fault
	}
	if r.Unit, fault = t.name(&s.unit, false); fault != nil {
		return r, false, fault
	}
	fault = t.extras(s, &r)
	return r, true, fault
}

// extras sets length, revision and exchange start where they stand in columns.
func (t *table) extras(s *series, r *reading.Reading) *RowError {
	var err error
	if s.length.column != "" {
		text := t.cell(&s.length)
		if r.Length, err = parseLength(text); err != nil {
			return t.fault(&s.length, text, err, "")
		}
	}
	if s.revision.column != "" {
		text := t.cell(&s.revision)
		if r.Revision, err = parseRevision(text); err != nil {
			return t.fault(&s.revision, text, err, "")
		}
	}
	if text := t.cell(&s.exchange); s.exchange.column != "" && text != "" {
		var fault *RowError
		r.Exchange = true
		if r.ExchangeStart, fault = t.value(s, &s.exchange, text); fault != nil {
			return fault
		}
	}
	return nil
}

// cell returns what stands in a column, nothing where that means absent.
func (t *table) cell(r *ref) string {
	if text := r.of(t.fields); !t.isAbsent(r, text) {
		return text
	}
	return ""
}

var errNumber = errors.New("a number such as 234.84")

// value parses a decimal number: no NaN, no hexadecimal, no thousands.
func (t *table) value(s *series, r *ref, text string) (float64, *RowError) {
	number, hint := text, ""
	switch {
	case t.comma && strings.Contains(text, "."):
		hint = "the mapping has decimal: comma, so a point cannot stand in a number"
	case t.comma:
		number = strings.Replace(text, ",", ".", 1)
	case strings.Contains(text, ","):
		hint = "for a decimal comma set decimal: comma; marks between thousands are not read"
	}
	if strings.Trim(number, "0123456789+-.eE") == "" && hint == "" {
		if v, err := strconv.ParseFloat(number, 64); err == nil {
			return v * s.scale, nil
		}
	}
	if hint == "" && hasUnit(text) {
		hint = "a unit stands in a column of its own (unit: {column: NAME}), or once in the mapping; take it off the number"
	}
	if hint == "" {
		hint = fmt.Sprintf("if it means that there is no reading, add %q to absent", text)
	}
	return 0, t.fault(r, text, errNumber, hint)
}

// hasUnit reports whether text is a number with a unit behind it.
func hasUnit(text string) bool {
	number := strings.TrimRightFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	_, err := strconv.ParseFloat(number, 64)
	return err == nil && strings.TrimSpace(text[len(number):]) != ""
}

// maxNames bounds the table of names.
const maxNames = 64 << 10

// name returns an entity, metric or unit as a string that does not hold on to
// its row.
func (t *table) name(r *ref, required bool) (string, *RowError) {
	if r.column == "" {
		return r.text, nil
	}
	text := t.cell(r)
	if known, ok := t.names[text]; ok {
		return known, nil
	}
	if text == "" && required {
		return "", t.fault(r, text, errors.New("a name"), "")
	}
	if !utf8.ValidString(text) {
		return "", t.fault(r, text, errors.New("UTF-8"), "convert the file: iconv -f latin1 -t utf-8")
	}
	if len(t.names) >= maxNames {
		clear(t.names)
	}
	text = strings.Clone(text)
	t.names[text] = text
	return text, nil
}

// fault says what is wrong with a cell.
func (t *table) fault(r *ref, text string, expected error, hint string) *RowError {
	e := &RowError{Column: r.column, Found: excerpt(text), Expected: expected.Error(), Hint: hint}
	if t.isNull(r) {
		e.Found = "null"
	}
	return e
}

// isNull reports whether a cell of a Parquet file has no value.
func (t *table) isNull(r *ref) bool { return r.column != "" && t.nulls != nil && t.nulls[r.index] }

// isAbsent reports whether a cell, which holds text, says that there is nothing.
func (t *table) isAbsent(r *ref, text string) bool { return t.absent[text] || t.isNull(r) }
