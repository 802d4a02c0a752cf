package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// streamType is the media type of streams.
const streamType = "application/x-ndjson"

// marshaler writes JSON with the field names of the contract, zeros included,
// and reads it strictly.
type marshaler struct{ runtime.JSONPb }

func newMarshaler() *marshaler {
	return &marshaler{runtime.JSONPb{
		MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
	}}
}

// Marshal writes an answer. protojson puts spaces in from build to build, so
// that nobody relies on its bytes; here equal answers have equal bytes.
func (m *marshaler) Marshal(v any) ([]byte, error) {
	raw, err := m.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, raw)
	return compact.Bytes(), err
}

// StreamContentType names the media type of streams.
func (*marshaler) StreamContentType(any) string { return streamType }

// NewDecoder returns a decoder of one request.
func (*marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		m, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("%T is no request", v)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
		if len(raw) == 0 {
			return io.EOF // no field is set
		}
		return decode(raw, m)
	})
}

// decode reads JSON into a message. Its error names the field that is wrong and
// what is allowed.
func decode(raw []byte, m proto.Message) error {
	err := protojson.Unmarshal(raw, m)
	if err == nil {
		return nil
	}
	if !utf8.Valid(raw) {
		return errors.New("the body must be UTF-8")
	}
	if found := fault(raw, m.ProtoReflect().Type(), ""); found != nil {
		return found
	}
	return err
}

// fault finds the first field, by name, that cannot be decoded, nil when each
// can.
func fault(raw json.RawMessage, t protoreflect.MessageType, path string) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		if path == "" {
			return fmt.Errorf("the body must be a JSON object with %s: %w", join("", t.Descriptor()), err)
		}
		return fmt.Errorf("%s must be an object with %s", path, join("", t.Descriptor()))
	}
	given := make(map[protoreflect.FullName]string) // in a oneof
	for _, key := range sortedKeys(object) {
		field := fieldOf(t.Descriptor(), key)
		if field == nil {
			return fmt.Errorf("%.128q is unknown: there are %s", prefix(path)+key, join(path, t.Descriptor()))
		}
		name := prefix(path) + string(field.Name())
		if err := fieldFault(object[key], t, field, name); err != nil {
			return err
		}
		if of := field.ContainingOneof(); of != nil {
			if other, both := given[of.FullName()]; both {
				return fmt.Errorf("%s and %s exclude each other: give one of them", other, name)
			}
			given[of.FullName()] = name
		}
	}
	return nil
}

// fieldFault says what is wrong with the value of a field, nil when nothing is.
func fieldFault(
	raw json.RawMessage, t protoreflect.MessageType, field protoreflect.FieldDescriptor, name string,
) error {
	if decodes(raw, t, field) {
		return nil
	}
	if field.IsList() {
		var elements []json.RawMessage
		if json.Unmarshal(raw, &elements) != nil {
			return fmt.Errorf("%s must be a list, not %s", name, short(raw))
		}
		for i, e := range elements {
			if !decodes(json.RawMessage("["+string(e)+"]"), t, field) {
				name := fmt.Sprintf("%s[%d]", name, i)
				if ours(field) {
					element := t.New().NewField(field).List().NewElement().Message().Type()
					if nested := fault(e, element, name); nested != nil {
						return nested
					}
				}
				return fmt.Errorf("%s %s, not %s", name, allowed(field), short(e))
			}
		}
	}
	if ours(field) && !field.IsList() {
		if nested := fault(raw, t.New().NewField(field).Message().Type(), name); nested != nil {
			return nested
		}
	}
	return fmt.Errorf("%s %s, not %s", name, allowed(field), short(raw))
}

// ours reports whether the values of a field are messages with fields that can
// be told apart.
func ours(field protoreflect.FieldDescriptor) bool {
	m := field.Message()
	return m != nil && !field.IsMap() && m.ParentFile().Package() != "google.protobuf"
}

// decodes reports whether a value can be that of a field.
func decodes(raw json.RawMessage, t protoreflect.MessageType, field protoreflect.FieldDescriptor) bool {
	alone, err := json.Marshal(map[string]json.RawMessage{string(field.Name()): raw})
	return err == nil && protojson.Unmarshal(alone, t.New().Interface()) == nil
}

// allowed says what the values of a field are.
func allowed(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.StringKind:
		return "must be a string"
	case protoreflect.BoolKind:
		return "must be true or false"
	case protoreflect.EnumKind:
		return "must be one of " + strings.Join(enumNames(field.Enum()), ", ")
	case protoreflect.BytesKind:
		return "must be bytes in base64"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "must be a number"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return fmt.Sprintf("must be an integer from %d to %d", math.MinInt32, math.MaxInt32)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return fmt.Sprintf("must be an integer from 0 to %d", math.MaxUint32)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return fmt.Sprintf("must be an integer from %d to %d", math.MinInt64, math.MaxInt64)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return fmt.Sprintf("must be an integer from 0 to %d", uint64(math.MaxUint64))
	case protoreflect.MessageKind, protoreflect.GroupKind:
	}
	if field.IsMap() {
		return "must be an object of texts by key"
	}
	switch field.Message().FullName() {
	case "google.protobuf.Timestamp":
		return `must be an RFC 3339 time such as "2026-03-01T10:15:00Z" (a + in a URL is written %2B)`
	case "google.protobuf.Duration":
		return `must be seconds such as "900s"`
	}
	return "must be an object with " + join("", field.Message())
}

// enumNames returns the names of an enum besides the one of its zero.
func enumNames(e protoreflect.EnumDescriptor) (names []string) {
	for i := range e.Values().Len() {
		if v := e.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return names
}

// join lists the fields of a message below a path.
func join(path string, m protoreflect.MessageDescriptor) string {
	var names []string
	for i := range m.Fields().Len() {
		names = append(names, prefix(path)+string(m.Fields().Get(i).Name()))
	}
	return strings.Join(names, ", ")
}

func fieldOf(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := m.Fields().ByName(protoreflect.Name(name)); field != nil {
		return field
	}
	return m.Fields().ByJSONName(name)
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + "."
}

// short is as much of a value as a message can bear.
func short(raw []byte) string { return fmt.Sprintf("%.64s", string(raw)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
