package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mapping says how a file is written and what its columns mean. A column is
// named as in the header, or by #n, n = 1 for the first. Either Columns or Long
// is given. The zero Mapping stands for NDJSON. Delimiter, Header and Comment are
// about CSV only.
type Mapping struct {
	Format    string   `yaml:"format"`    // csv, parquet or ndjson; empty is csv, or parquet where the file is
	Delimiter string   `yaml:"delimiter"` // one character or "tab"; empty is a comma
	Header    *bool    `yaml:"header"`    // whether the first row names the columns; nil is true
	Comment   string   `yaml:"comment"`   // lines that begin with it are skipped; empty is none
	Decimal   string   `yaml:"decimal"`   // point (also when empty) or comma
	Absent    []string `yaml:"absent"`    // cells that say "no reading"; nil is the empty cell
	Time      Time     `yaml:"time"`
	Columns   []Column `yaml:"columns"` // wide: one metric a column
	Long      *Long    `yaml:"long"`    // long: one reading a row
}

// Time says where the time of a row stands and how it is written.
type Time struct {
	Columns []string `yaml:"columns"` // joined by a space
	Layout  string   `yaml:"layout"`  // of package time, or rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns, timestamp
	Zone    string   `yaml:"zone"`    // IANA name, for layouts without an offset
}

// Column is a column of values of one metric.
type Column struct {
	Column   string  `yaml:"column"`
	Entity   Field   `yaml:"entity"`
	Metric   Field   `yaml:"metric"`
	Unit     Field   `yaml:"unit"`
	Length   Field   `yaml:"length"` // as "15m", or seconds
	Quality  Field   `yaml:"quality"`
	Revision Field   `yaml:"revision"`
	Exchange Field   `yaml:"exchange_start"` // column with the index that a new meter starts from
	Scale    float64 `yaml:"scale"`          // factor; 0 is 1
}

// Long says where the parts of a reading stand in its row.
type Long struct {
	Entity   Field   `yaml:"entity"`
	Metric   Field   `yaml:"metric"`
	Value    Field   `yaml:"value"`
	Unit     Field   `yaml:"unit"`
	Length   Field   `yaml:"length"`
	Quality  Field   `yaml:"quality"`
	Revision Field   `yaml:"revision"`
	Exchange Field   `yaml:"exchange_start"`
	Scale    float64 `yaml:"scale"`
}

// Field is either a constant or what stands in a column.
type Field struct {
	Column   string
	Constant string
}

// IsZero reports whether the field says nothing.
func (f Field) IsZero() bool { return f == Field{} }

// UnmarshalYAML takes a constant, or {column: NAME}.
func (f *Field) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode {
		if n.Tag != "!!null" {
			f.Constant = n.Value
		}
		return nil
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "column" &&
		n.Content[1].Kind == yaml.ScalarNode {
		f.Column = n.Content[1].Value
		return nil
	}
	return &yaml.TypeError{Errors: []string{fmt.Sprintf(
		"line %d: write a constant, or {column: NAME} for what stands in a column", n.Line)}}
}

// LoadMapping reads a mapping from a YAML file. It does not check it: settings
// may still be added.
func LoadMapping(path string) (Mapping, error) {
	document, err := os.ReadFile(path)
	if err != nil {
		return Mapping{}, err
	}
	m, err := decodeMapping(document)
	if err != nil {
		return m, fmt.Errorf("mapping %s: %w", path, err)
	}
	return m, nil
}

// ParseMapping reads and checks a mapping, and reports every fault.
func ParseMapping(document []byte) (Mapping, error) {
	m, err := decodeMapping(document)
	if err = errors.Join(err, m.Validate()); err != nil {
		return m, fmt.Errorf("mapping: %w", err)
	}
	return m, nil
}

func decodeMapping(document []byte) (m Mapping, err error) {
	d := yaml.NewDecoder(bytes.NewReader(document))
	d.KnownFields(true)
	err = d.Decode(&m)
	var typed *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		return m, errors.New("is empty; it needs at least time, and columns or long")
	case errors.As(err, &typed):
		return m, explain(typed)
	}
	return m, err
}

var unknownKey = regexp.MustCompile(`^(line \d+): field (.*) not found in type source\.(\w+)$`)

// explain puts the decoder's faults in the words of a mapping.
func explain(typed *yaml.TypeError) error {
	var faults []error
	for _, text := range typed.Errors {
		if part := unknownKey.FindStringSubmatch(text); part != nil {
			text = fmt.Sprintf("%s: %s is no setting here; use %s", part[1], part[2], settings(part[3]))
		}
		faults = append(faults, errors.New(text))
	}
	return errors.Join(faults...)
}

// settings lists the settings of a part of a mapping.
func settings(part string) string {
	t := map[string]reflect.Type{
		"Mapping": reflect.TypeFor[Mapping](), "Time": reflect.TypeFor[Time](),
		"Column": reflect.TypeFor[Column](), "Long": reflect.TypeFor[Long](),
	}[part]
	if t == nil {
		return "a setting of the documentation"
	}
	var names []string
	for f := range t.Fields() {
		names = append(names, f.Tag.Get("yaml"))
	}
	return strings.Join(names, ", ")
}

// isZero reports whether nothing was said.
func (m Mapping) isZero() bool { return reflect.ValueOf(m).IsZero() }

// Validate reports every fault of the mapping.
func (m Mapping) Validate() error {
	_, err := m.compile()
	return err
}

// ParseColumn reads one entry of a mapping's columns, such as
// "{column: P, entity: m1, metric: active_power, unit: kW}".
func ParseColumn(text string) (c Column, err error) {
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	err = d.Decode(&c)
	if typed, ok := errors.AsType[*yaml.TypeError](err); ok {
		err = explain(typed)
	}
	if err != nil {
		return c, fmt.Errorf("column %s: %w", excerpt(text), err)
	}
	return c, nil
}
