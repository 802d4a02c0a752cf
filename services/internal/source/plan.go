package source

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
)

// plan is a checked mapping.
type plan struct {
	ndjson    bool
	format    string // csv or parquet where it is told
	when      Time
	delimiter byte
	header    bool
	comment   string
	comma     bool
	absent    map[string]bool
	time      *stamps
	times     []ref
	series    []series
}

// series says how one reading of a row is made.
type series struct {
	value, entity, metric, unit, length, quality, revision, exchange ref

	constant reading.Reading // length, quality and revision where they are constant
	scale    float64
}

// ref is a cell of the row, or a constant.
type ref struct {
	column string // empty for a constant
	index  int    // of the cell, once the header is known
	text   string
}

func refOf(f Field) ref { return ref{column: f.Column, text: f.Constant} }

// of returns what the reference stands for in a row.
func (r *ref) of(row []string) string {
	if r.column == "" {
		return r.text
	}
	return row[r.index]
}

// compile checks the mapping and reports every fault.
func (m Mapping) compile() (*plan, error) {
	if m.isZero() {
		return &plan{}, nil
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if m.Format == "ndjson" {
		m.Format = ""
		if !m.isZero() {
			return nil, errors.New("format ndjson takes no other settings; remove them")
		}
		return &plan{ndjson: true}, nil
	}
	if m.Format != "" && m.Format != csv && m.Format != parquetFormat {
		fault("format %q is not known; use csv, parquet or ndjson", m.Format)
	}
	if m.Format == parquetFormat && m.Time.Layout == "" {
		m.Time.Layout = timestamp
	}
	p := &plan{format: m.Format, when: m.Time,
		header: m.Header == nil || *m.Header, comment: m.Comment, comma: m.Decimal == "comma",
		absent: map[string]bool{"": m.Absent == nil}}
	for _, token := range m.Absent {
		p.absent[strings.TrimSpace(token)] = true
	}
	if m.Decimal != "" && m.Decimal != "point" && m.Decimal != "comma" {
		fault("decimal %q is not known; use point or comma", m.Decimal)
	}
	var err error
	if p.delimiter, err = delimiter(m.Delimiter); err != nil {
		faults = append(faults, err)
	} else if p.comma && p.delimiter == ',' {
		fault(`decimal comma needs another delimiter; say which, such as ";"`)
	}
	p.time, err = newStamps(m.Time)
	faults = append(faults, err)
	for _, name := range m.Time.Columns {
		p.times = append(p.times, ref{column: name})
	}
	faults = append(faults, p.addSeries(m))
	return p, errors.Join(faults...)
}

func delimiter(text string) (byte, error) {
	switch text {
	case "":
		return ',', nil
	case "tab", `\t`:
		return '\t', nil
	}
	if len(text) != 1 || strings.Contains("\"\r\n ", text) || text[0] >= 0x80 {
		return 0, fmt.Errorf(`delimiter %q must be one character, such as ";", or tab`, text)
	}
	return text[0], nil
}

// addSeries takes over the columns of a wide file or the fields of a long one.
func (p *plan) addSeries(m Mapping) error {
	if (len(m.Columns) == 0) == (m.Long == nil) {
		return errors.New("give either columns (a list: one metric a column) or long (one reading a row)")
	}
	if m.Long != nil {
		return p.add("long", *m.Long)
	}
	var faults []error
	for i, c := range m.Columns {
		where := "column " + c.Column
		if c.Column == "" {
			where = fmt.Sprintf("columns entry %d", i+1)
		}
		faults = append(faults, p.add(where, Long{
			Value: Field{Column: c.Column}, Entity: c.Entity, Metric: c.Metric, Unit: c.Unit,
			Length: c.Length, Quality: c.Quality, Revision: c.Revision, Exchange: c.Exchange,
			Scale: c.Scale,
		}))
	}
	return errors.Join(faults...)
}

// add checks one series and takes it over.
func (p *plan) add(where string, l Long) error {
	var faults []error
	need := func(name string, f Field, example string) {
		if f.IsZero() {
			faults = append(faults, fmt.Errorf("%s: %s is missing; write %s", where, name, example))
		}
	}
	if where == "long" {
		need("value", l.Value, "{column: NAME}")
	} else {
		need("column", l.Value, "the name of the column that holds the values")
	}
	need("entity", l.Entity, "the id of the meter or site, or {column: NAME}")
	need("metric", l.Metric, "a metric such as active_energy, or {column: NAME}")
	s := series{
		value: refOf(l.Value), entity: refOf(l.Entity), metric: refOf(l.Metric), unit: refOf(l.Unit),
		length: refOf(l.Length), quality: refOf(l.Quality), revision: refOf(l.Revision),
		exchange: refOf(l.Exchange), scale: l.Scale,
	}
	if s.scale == 0 {
		s.scale = 1
	}
	if math.IsNaN(s.scale) || math.IsInf(s.scale, 0) {
		faults = append(faults, fmt.Errorf("%s: scale must be a finite number", where))
	}
	if l.Exchange.Constant != "" {
		faults = append(faults, fmt.Errorf("%s: exchange_start %q would make every reading an exchange; "+
			"write {column: NAME}", where, l.Exchange.Constant))
	}
	var err error
	if s.constant.Length, err = parseLength(l.Length.Constant); err != nil {
		faults = append(faults, fmt.Errorf("%s: length %q is no length; write %w", where, l.Length.Constant, err))
	}
	if s.constant.Quality, err = reading.ParseQuality(l.Quality.Constant); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", where, err))
	}
	if s.constant.Revision, err = parseRevision(l.Revision.Constant); err != nil {
		faults = append(faults, fmt.Errorf("%s: revision %q is no revision; write %w", where, l.Revision.Constant, err))
	}
	p.series = append(p.series, s)
	return errors.Join(faults...)
}

// Errors of a cell, as what was expected instead.
var (
	errLength   = errors.New("a length such as 15m or 1h, or a number of seconds")
	errRevision = errors.New("a whole number from 0 on")
	errQuality  = errors.New("actual, estimated, corrected, withdrawn, or nothing")
)

func parseLength(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err != nil || d < 0 {
		return 0, errLength
	}
	return d, nil
}

func parseRevision(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, errRevision
	}
	return n, nil
}

// bind finds the cells of the columns that the mapping names. Header is nil
// where the file has none; columns are then known by number only.
//
// Place is what the names stand in, for messages.
func (p *plan) bind(place string, header []string, width int) error {
	var faults []error
	for _, r := range p.cells() {
		var err error
		if r.index, err = findColumn(r.column, place, header, width); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// cells returns all references to cells.
func (p *plan) cells() (cells []*ref) {
	add := func(refs ...*ref) {
		for _, r := range refs {
			if r.column != "" {
				cells = append(cells, r)
			}
		}
	}
	for i := range p.times {
		add(&p.times[i])
	}
	for i := range p.series {
		s := &p.series[i]
		add(&s.value, &s.entity, &s.metric, &s.unit, &s.length, &s.quality, &s.revision, &s.exchange)
	}
	return cells
}

func findColumn(name, place string, header []string, width int) (int, error) {
	found := -1
	for i, h := range header {
		if h == name && found >= 0 {
			return 0, fmt.Errorf("column %q stands in the %s twice, as #%d and #%d; write the one that is meant",
				name, place, found+1, i+1)
		}
		if h == name {
			found = i
		}
	}
	if found >= 0 {
		return found, nil
	}
	if number, ok := strings.CutPrefix(name, "#"); ok {
		if n, err := strconv.Atoi(number); err == nil && 1 <= n && n <= width {
			return n - 1, nil
		}
		return 0, fmt.Errorf("column %s does not exist; the file has #1 to #%d", name, width)
	}
	if header == nil {
		return 0, fmt.Errorf("column %q: the file has no header (header: false); write #1 to #%d", name, width)
	}
	return 0, fmt.Errorf("column %q is not in the %s; write one of %s, or #1 to #%d",
		name, place, strings.Join(quoteAll(header), ", "), width)
}

func quoteAll(texts []string) []string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = strconv.Quote(t)
	}
	return quoted
}
