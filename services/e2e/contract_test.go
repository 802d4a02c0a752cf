package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestContractRefusesBadFields walks every field of every request and feeds it
// each bad value over REST, in every form that the call takes, and over gRPC:
// the answer is 400 or InvalidArgument, names the field and says what is
// allowed.
func TestContractRefusesBadFields(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.refused(t, reading.Stamp{Received: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).UnixNano(), Sequence: 1}, "contract")
	p.await(t, "the entry to be there", func(s *energyv1.GetPipelineStatusResponse) bool { return len(s.GetQuarantine()) > 0 })
	execSQL(t, p.databaseURL, `INSERT INTO gold.batches (id, kind, selection, code_version, epoch)
		VALUES ('contract', 'merge', '{"layer": "readings"}', 'test', 1)`)
	c := &contract{platform: p, conn: connect(t, p.grpc), routes: routes(t, p), used: make(map[protoreflect.FullName]bool)}
	calls := slices.Concat(
		methods(energyv1.File_energy_v1_query_proto.Services().ByName("QueryService")),
		methods(energyv1.File_energy_v1_registry_proto.Services().ByName("RegistryService")),
		methods(energyv1.File_energy_v1_quarantine_proto.Services().ByName("QuarantineService")),
	)
	for _, call := range calls {
		if accepted[call.Name()] == "" || len(c.routes[call.Name()]) == 0 {
			t.Errorf("%s has no request that is accepted, or no path in the OpenAPI document", call.Name())
			continue
		}
		c.accepts(t, call)
		c.walk(t, call, call.Input(), nil)
	}
	for field := range refused {
		if !c.used[field] {
			t.Errorf("there are bad values for %s, which is no field of a request", field)
		}
	}
}

func methods(s protoreflect.ServiceDescriptor) (calls []protoreflect.MethodDescriptor) {
	for i := range s.Methods().Len() {
		calls = append(calls, s.Methods().Get(i))
	}
	return calls
}

// contract is what the walk goes over.
type contract struct {
	*platform
	conn   *grpc.ClientConn
	routes map[protoreflect.Name][]route
	used   map[protoreflect.FullName]bool
}

// route is a way to call over REST.
type route struct {
	method, path string
	body         bool
}

// routes returns the routes of each call as the served document describes them.
func routes(t *testing.T, p *platform) map[protoreflect.Name][]route {
	t.Helper()
	code, raw := p.rest(t, http.MethodGet, "/openapi.json", "")
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ In string }
		}
	}
	if err := json.Unmarshal([]byte(raw), &document); err != nil || code != http.StatusOK {
		t.Fatalf("OpenAPI document: %d, %v", code, err)
	}
	out := make(map[protoreflect.Name][]route)
	for path, operations := range document.Paths {
		for method, o := range operations {
			_, operation, _ := strings.Cut(o.OperationID, "_")
			name := protoreflect.Name(strings.TrimRight(operation, "0123456789"))
			r := route{method: strings.ToUpper(method), path: path}
			for _, parameter := range o.Parameters {
				r.body = r.body || parameter.In == "body"
			}
			out[name] = append(out[name], r)
		}
	}
	return out
}

// accepts checks that the request that bad values are put into is answered, and
// that no call takes what it does not know.
func (c *contract) accepts(t *testing.T, call protoreflect.MethodDescriptor) {
	t.Helper()
	if err := c.overGRPC(t, call, c.request(t, call)); err != nil {
		t.Errorf("%s refuses %s: %v", call.Name(), accepted[call.Name()], err)
	}
	for _, r := range c.routes[call.Name()] {
		tree := c.tree(t, call)
		if code, answer := c.overREST(t, r, tree); code != http.StatusOK {
			t.Errorf("%s %s refuses %v: %d %s", r.method, r.path, tree, code, answer)
		}
		unknown := r
		unknown.path += "?nonsense=1"
		forms := []func() (int, string){func() (int, string) { return c.rest(t, r.method, unknown.path, "{}") }}
		if r.body {
			forms = append(forms, func() (int, string) { return c.rest(t, r.method, r.path, `{"nonsense": 1}`) })
		}
		for _, form := range forms {
			if code, answer := form(); code != http.StatusBadRequest || !strings.Contains(answer, `\"nonsense\" is`) {
				t.Errorf("%s %s with an unknown name: %d %s", r.method, r.path, code, answer)
			}
		}
	}
}

// walk feeds bad values to the fields of a message of a request.
func (c *contract) walk(
	t *testing.T, call protoreflect.MethodDescriptor, m protoreflect.MessageDescriptor, to []protoreflect.FieldDescriptor,
) {
	t.Helper()
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		path := append(slices.Clone(to), field)
		rules, known := refused[field.FullName()]
		if !known {
			t.Errorf("%s.%s has no bad values: decide what it refuses", call.Name(), name(path))
		}
		c.used[field.FullName()] = true
		var overREST, overGRPC bool
		for _, bad := range rules.bad {
			overGRPC = overGRPC || bad.grpc != nil
			for _, r := range c.routes[call.Name()] {
				overREST = overREST || r.body && bad.body != "" || !r.body && bad.query != nil
			}
			t.Run(string(call.Name())+"/"+name(path)+"/"+bad.name, func(t *testing.T) {
				t.Parallel()
				c.feed(t, call, path, bad)
			})
		}
		if known && (overREST == (rules.noREST != "") || overGRPC == (rules.noGRPC != "")) {
			t.Errorf("%s.%s: bad values over REST %t (%q), over gRPC %t (%q): give some or say why there are none",
				call.Name(), name(path), overREST, rules.noREST, overGRPC, rules.noGRPC)
		}
		if field.Message() != nil && !field.IsMap() && field.Message().ParentFile().Package() == "energy.v1" {
			c.walk(t, call, field.Message(), path)
		}
	}
}

// feed feeds one bad value in every form.
func (c *contract) feed(
	t *testing.T, call protoreflect.MethodDescriptor, path []protoreflect.FieldDescriptor, bad badValue,
) {
	t.Helper()
	check := func(how, message string, refused bool) {
		named := strings.HasPrefix(strings.TrimPrefix(message, `"`), name(path))
		if !refused || !named || !strings.Contains(message, bad.want) || len(message) > 1000 {
			t.Errorf("%s: refused %t with %.1000q, want the field and %q", how, refused, message, bad.want)
		}
	}
	if bad.grpc != nil {
		err := c.overGRPC(t, call, with(c.request(t, call), path, bad.grpc))
		check("gRPC", status.Convert(err).Message(), status.Code(err) == codes.InvalidArgument)
	}
	for _, r := range c.routes[call.Name()] {
		tree := c.tree(t, call)
		switch {
		case r.body && bad.body != "":
			plant(tree, path, json.RawMessage(bad.body))
		case !r.body && bad.query != nil:
			plant(tree, path, bad.query)
		default:
			continue
		}
		code, answer := c.overREST(t, r, tree)
		var s struct {
			Code    codes.Code
			Message string
		}
		if err := json.Unmarshal([]byte(answer), &s); err != nil {
			t.Errorf("%s %s: %d %q: %v", r.method, r.path, code, answer, err)
		}
		check(r.method+" "+r.path, s.Message, code == http.StatusBadRequest && s.Code == codes.InvalidArgument)
	}
}

// name returns the path of a field; of lists on the way it is the first element.
func name(path []protoreflect.FieldDescriptor) string {
	var names []string
	for i, field := range path {
		name := string(field.Name())
		if field.IsList() && i < len(path)-1 {
			name += "[0]"
		}
		names = append(names, name)
	}
	return strings.Join(names, ".")
}

// request returns the accepted request of a call.
func (c *contract) request(t *testing.T, call protoreflect.MethodDescriptor) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(call.Input())
	if err := protojson.Unmarshal([]byte(accepted[call.Name()]), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// tree returns the accepted request of a call as JSON.
func (c *contract) tree(t *testing.T, call protoreflect.MethodDescriptor) (tree map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(accepted[call.Name()]), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// with sets a field of a message, which puts others of its oneof out.
func with(m *dynamicpb.Message, path []protoreflect.FieldDescriptor, value any) proto.Message {
	parent := protoreflect.Message(m)
	for _, field := range path[:len(path)-1] {
		if field.IsList() {
			parent = parent.Mutable(field).List().Get(0).Message()
			continue
		}
		parent = parent.Mutable(field).Message()
	}
	field := path[len(path)-1]
	switch v := value.(type) {
	case map[string]string:
		for key, value := range v {
			parent.Mutable(field).Map().Set(protoreflect.ValueOf(key).MapKey(), protoreflect.ValueOf(value))
		}
	case cleared:
		parent.Clear(field)
	case []protoreflect.EnumNumber:
		list := parent.Mutable(field).List()
		for _, n := range v {
			list.Append(protoreflect.ValueOf(n))
		}
	case []string:
		list := parent.Mutable(field).List()
		for _, s := range v {
			list.Append(protoreflect.ValueOf(s))
		}
	case proto.Message:
		parent.Set(field, protoreflect.ValueOf(v.ProtoReflect()))
	default:
		parent.Set(field, protoreflect.ValueOf(v))
	}
	return m
}

// plant sets a field in JSON, without the others of its oneof.
func plant(tree map[string]any, path []protoreflect.FieldDescriptor, value any) {
	for _, field := range path[:len(path)-1] {
		if list, ok := tree[string(field.Name())].([]any); ok {
			tree = list[0].(map[string]any)
			continue
		}
		branch, ok := tree[string(field.Name())].(map[string]any)
		if !ok {
			branch = make(map[string]any)
			tree[string(field.Name())] = branch
		}
		tree = branch
	}
	field := path[len(path)-1]
	if of := field.ContainingOneof(); of != nil {
		for i := range of.Fields().Len() {
			delete(tree, string(of.Fields().Get(i).Name()))
		}
	}
	tree[string(field.Name())] = value
}

// overREST sends JSON as a body or as query parameters.
func (c *contract) overREST(t *testing.T, r route, tree map[string]any) (code int, answer string) {
	t.Helper()
	if !r.body {
		values := make(url.Values)
		flatten(values, "", tree)
		return c.rest(t, r.method, r.path+"?"+values.Encode(), "")
	}
	body, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return c.rest(t, r.method, r.path, string(body))
}

func flatten(values url.Values, prefix string, tree map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		switch v := tree[key].(type) {
		case map[string]any:
			flatten(values, prefix+key+".", v)
		case []string:
			values[prefix+key] = v
		case string:
			values.Set(prefix+key, v)
		}
	}
}

// overGRPC returns the error of a call, nil once it has answered.
func (c *contract) overGRPC(t *testing.T, call protoreflect.MethodDescriptor, m proto.Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	method := "/" + string(call.Parent().FullName()) + "/" + string(call.Name())
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: call.IsStreamingServer()}, method)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(m), stream.CloseSend()); err != nil {
		return err
	}
	if err := stream.RecvMsg(new(emptypb.Empty)); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func connect(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
