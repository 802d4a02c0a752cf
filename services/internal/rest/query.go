package rest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// useStrictQueries makes the gateway read query parameters as it reads bodies.
// Its parser is a variable of its package, not of a mux: setting it for each
// handler would race with the requests of others, so it is set once.
var useStrictQueries = sync.OnceFunc(func() {
	runtime.NewServeMux(runtime.SetQueryParameterParser(queryParser{}))
})

// queryParser reads query parameters into a request. A parameter is named by
// the path of its field, its value is written as in JSON, without quotes.
type queryParser struct{}

// Parse adds parameters to a message. Its error names the field that is wrong
// and what is allowed.
func (queryParser) Parse(m proto.Message, values url.Values, inPath *utilities.DoubleArray) error {
	tree := make(map[string]any)
	for _, name := range sortedKeys(values) {
		path := strings.Split(name, ".")
		if inPath.HasCommonPrefix(path) {
			return fmt.Errorf("%s stands in the path: leave the parameter out", name)
		}
		if err := plant(tree, m.ProtoReflect().Descriptor(), path, name, values[name]); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("encode parameters: %w", err)
	}
	parsed := m.ProtoReflect().New().Interface()
	if err := decode(raw, parsed); err != nil {
		return err
	}
	proto.Merge(m, parsed)
	return nil
}

// plant puts the values of a parameter where its path leads.
func plant(tree map[string]any, m protoreflect.MessageDescriptor, path []string, name string, values []string) error {
	field := m.Fields().ByName(protoreflect.Name(path[0]))
	if field == nil {
		return fmt.Errorf("%.64q is no query parameter", name)
	}
	if len(path) > 1 {
		if field.Message() == nil || field.IsList() || field.IsMap() {
			return fmt.Errorf("%.64q is no query parameter: %s has no fields", name, field.Name())
		}
		branch, ok := tree[path[0]].(map[string]any)
		if !ok {
			branch = make(map[string]any)
			tree[path[0]] = branch
		}
		return plant(branch, field.Message(), path[1:], name, values)
	}
	var leaves []any
	for _, v := range values {
		if !utf8.ValidString(v) {
			return fmt.Errorf("%s must be UTF-8", name)
		}
		leaves = append(leaves, leaf(field, v))
	}
	switch {
	case field.IsList():
		tree[path[0]] = leaves
	case len(leaves) == 1:
		tree[path[0]] = leaves[0]
	default:
		return fmt.Errorf("%s takes one value, not %d", name, len(leaves))
	}
	return nil
}

// leaf returns the JSON of a value. All but booleans may be strings there.
func leaf(field protoreflect.FieldDescriptor, value string) any {
	if field.Kind() == protoreflect.BoolKind && (value == "true" || value == "false") {
		return value == "true"
	}
	return value
}
