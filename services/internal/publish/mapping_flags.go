package publish

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/energy-platform/energy/services/internal/source"
)

// mappingFlags are the settings of a mapping.
type mappingFlags struct {
	file         string
	m            source.Mapping
	noHeader     bool
	decimalComma bool
	columns      []string
	fields       map[string]*string // of a long file
	scale        float64
}

// longFields returns the flags for the fields of a long file, and their help.
func longFields() [][2]string {
	return [][2]string{
		{"entity", "long: id of the meter or site, or column:NAME"},
		{"metric", "long: metric, or column:NAME"},
		{"value", "long: name of the column with the values"},
		{"unit", "long: unit, or column:NAME"},
		{"length", "long: span that a value covers, as 15m, or column:NAME"},
		{"quality", "long: actual, estimated, corrected or withdrawn, or column:NAME"},
		{"revision", "long: revision, or column:NAME"},
		{"exchange-start", "long: name of the column with the index that a new meter starts from,\n" +
			"empty where none was put in"},
	}
}

func (f *mappingFlags) add(fs *pflag.FlagSet) {
	fs.StringVarP(&f.file, "mapping", "m", "", "YAML file that says what the columns mean")
	fs.StringVar(&f.m.Format, "input", "", "how files are written: csv, parquet or ndjson")
	fs.StringVar(&f.m.Delimiter, "delimiter", "", `CSV: character between fields, or tab (default ",")`)
	fs.BoolVar(&f.noHeader, "no-header", false, "CSV: the first row has no names; columns are #1, #2, …")
	fs.StringVar(&f.m.Comment, "comment", "", "CSV: lines that begin with this are skipped")
	fs.BoolVar(&f.decimalComma, "decimal-comma", false, "numbers are written as 1,5")
	fs.StringArrayVar(&f.m.Absent, "absent", nil,
		"cell that says \"no reading\"; may be repeated (default the empty cell)")
	fs.StringArrayVar(&f.m.Time.Columns, "time-column", nil,
		"column with the time; repeated columns are joined by a space")
	fs.StringVar(&f.m.Time.Layout, "time-layout", "",
		"how 2 January 2006 15:04:05 would be written, or rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns;\n"+
			"timestamp for a Parquet column that is one")
	fs.StringVar(&f.m.Time.Zone, "zone", "", "IANA zone of times without an offset")
	fs.StringArrayVar(&f.columns, "column", nil, "wide: an entry of the mapping's columns, such as\n"+
		"'{column: P, entity: m1, metric: active_power, unit: kW}'; may be repeated")
	f.fields = map[string]*string{}
	for _, field := range longFields() {
		f.fields[field[0]] = fs.String(field[0], "", field[1])
	}
	fs.Float64Var(&f.scale, "scale", 0, "long: factor of the values (default 1)")
}

// complete returns the mapping of the file with the flags laid over it.
func (f *mappingFlags) complete(fs *pflag.FlagSet) (m source.Mapping, err error) {
	if f.file != "" {
		if m, err = source.LoadMapping(f.file); err != nil {
			return m, err
		}
	}
	over := func(name string, set func()) {
		if fs.Changed(name) {
			set()
		}
	}
	over("input", func() { m.Format = f.m.Format })
	over("delimiter", func() { m.Delimiter = f.m.Delimiter })
	over("no-header", func() { header := !f.noHeader; m.Header = &header })
	over("comment", func() { m.Comment = f.m.Comment })
	over("decimal-comma", func() { m.Decimal = map[bool]string{true: "comma", false: "point"}[f.decimalComma] })
	over("absent", func() { m.Absent = f.m.Absent })
	over("time-column", func() { m.Time.Columns = f.m.Time.Columns })
	over("time-layout", func() { m.Time.Layout = f.m.Time.Layout })
	over("zone", func() { m.Time.Zone = f.m.Time.Zone })
	over("column", func() { m.Columns, err = parseColumns(f.columns) })
	f.long(fs, &m)
	return m, err
}

func parseColumns(texts []string) (columns []source.Column, err error) {
	for _, text := range texts {
		c, fault := source.ParseColumn(text)
		columns, err = append(columns, c), errors.Join(err, fault)
	}
	return columns, err
}

// long lays the flags for a long file over the mapping.
func (f *mappingFlags) long(fs *pflag.FlagSet, m *source.Mapping) {
	var l source.Long
	if m.Long != nil {
		l = *m.Long
	}
	targets := map[string]*source.Field{
		"entity": &l.Entity, "metric": &l.Metric, "value": &l.Value, "unit": &l.Unit,
		"length": &l.Length, "quality": &l.Quality, "revision": &l.Revision, "exchange-start": &l.Exchange,
	}
	changed := fs.Changed("scale")
	if changed {
		l.Scale = f.scale
	}
	for name, text := range f.fields {
		if fs.Changed(name) {
			changed = true
			*targets[name] = field(*text, name == "value" || name == "exchange-start")
		}
	}
	if changed {
		m.Long = &l
	}
}

// field reads a constant, or column:NAME; indices and other values are always a
// column's.
func field(text string, column bool) source.Field {
	name, prefixed := strings.CutPrefix(text, "column:")
	if prefixed || column {
		return source.Field{Column: name}
	}
	return source.Field{Constant: text}
}
