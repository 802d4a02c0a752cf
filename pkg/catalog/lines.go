package catalog

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// read decodes a document as far as it can be decoded. The faults are those of
// YAML itself, of unknown keys and of values of a wrong type; with a document
// that is no YAML at all there is nothing else.
func read(yamlDocument []byte) (*document, lines, []error) {
	var root yaml.Node
	if err := yaml.Unmarshal(yamlDocument, &root); err != nil {
		return nil, nil, []error{err}
	}
	doc := new(document)
	d := yaml.NewDecoder(bytes.NewReader(yamlDocument))
	d.KnownFields(true)
	err := d.Decode(doc)
	var types *yaml.TypeError
	switch {
	case err == nil:
		return doc, linesOf(&root), nil
	case errors.Is(err, io.EOF):
		return nil, nil, []error{errors.New("the document is empty: declare units and metrics")}
	case !errors.As(err, &types):
		return nil, nil, []error{err}
	}
	inDocument := strings.NewReplacer(
		" in type catalog.document", " in a catalogue", " in type catalog.unitYAML", " in a unit",
		" in type catalog.metricYAML", " in a metric", " in type catalog.expectationYAML", " in an expectation",
	)
	var faults []error
	for _, text := range types.Errors {
		faults = append(faults, errors.New(inDocument.Replace(text)))
	}
	return doc, linesOf(&root), faults
}

// lines is where the keys of a document stand, by path.
type lines map[string]int

const pathSeparator = "\x00"

func linesOf(root *yaml.Node) lines {
	l := make(lines)
	for _, top := range root.Content {
		l.add("", top)
	}
	return l
}

func (l lines) add(path string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := path + pathSeparator + n.Content[i].Value
		l[key] = n.Content[i].Line
		l.add(key, n.Content[i+1])
	}
}

// of returns the line of the deepest part of the path that the document has.
func (l lines) of(path []string) int {
	for n := len(path); n > 0; n-- {
		if line, ok := l[pathSeparator+strings.Join(path[:n], pathSeparator)]; ok {
			return line
		}
	}
	return 1
}
