package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// column is a column of tables and CSV.
type column[R any] struct {
	header string
	text   func(R) string
}

// forms says how records are written: as tables, as CSV and as messages of the
// contract.
type forms[R any] struct {
	table, csv []column[R]
	message    func(R) proto.Message
	none       string // what a table without records says
}

// formatsUsage describes the flag that names a format.
const formatsUsage = "table, json (an object a line) or csv"

// output writes records in one format. Flush shows what was written.
type output[R any] struct {
	write func(R) error
	flush func() error
}

// output returns the writer of a format.
func (f *forms[R]) output(format string, out io.Writer) (output[R], error) {
	switch format {
	case "table":
		return f.tableOutput(out), nil
	case "csv":
		return f.csvOutput(out), nil
	case "json":
		return output[R]{
			write: func(r R) error { return writeJSON(out, f.message(r)) },
			flush: func() error { return nil },
		}, nil
	default:
		return output[R]{}, fmt.Errorf("--format %q is not known: give table, json or csv", format)
	}
}

// objects writes objects as JSON, each in a line under the name of its kind.
type objects struct {
	out io.Writer
	err error // the first
}

func (o *objects) write(kind string, object any) {
	if err := json.NewEncoder(o.out).Encode(map[string]any{kind: object}); err != nil && o.err == nil {
		o.err = fmt.Errorf("write a line of JSON: %w", err)
	}
}

// textOrJSON reports whether a --format of these two is JSON.
func textOrJSON(format string) (asJSON bool, err error) {
	if format != "text" && format != "json" {
		return false, fmt.Errorf("--format %q is not known: give text or json", format)
	}
	return format == "json", nil
}

func headers[R any](columns []column[R]) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.header
	}
	return names
}

func cells[R any](columns []column[R], r R) []string {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = c.text(r)
	}
	return texts
}

func (f *forms[R]) tableOutput(out io.Writer) output[R] {
	t := table{out: out}
	begun := false
	return output[R]{
		write: func(r R) error {
			if !begun {
				begun = true
				t.add(headers(f.table))
			}
			t.add(cells(f.table, r))
			return nil
		},
		flush: func() error {
			if !begun {
				t.add([]string{f.none})
			}
			return t.flush()
		},
	}
}

// csvOutput has a header whether there are records or not, once.
func (f *forms[R]) csvOutput(out io.Writer) output[R] {
	w := csv.NewWriter(out)
	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		return w.Write(headers(f.csv))
	}
	return output[R]{
		write: func(r R) error {
			if err := begin(); err != nil {
				return err
			}
			return w.Write(cells(f.csv, r))
		},
		flush: func() error {
			if err := begin(); err != nil {
				return err
			}
			w.Flush()
			return w.Error()
		},
	}
}

// writeJSON writes a message on a line, in the JSON form of the contract.
func writeJSON(out io.Writer, m proto.Message) error {
	line, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	// protojson varies white space on purpose.
	var compact bytes.Buffer
	if err := json.Compact(&compact, line); err != nil {
		return err
	}
	compact.WriteByte('\n')
	_, err = compact.WriteTo(out)
	return err
}

// table aligns rows in columns. What it has shown it cannot align anew, but
// later rows keep to it: columns only grow.
type table struct {
	out    io.Writer
	widths []int
	rows   [][]string
}

func (t *table) add(row []string) { t.rows = append(t.rows, row) }

// flush writes the rows that were added.
func (t *table) flush() error {
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(t.out, b.String())
	return err
}
