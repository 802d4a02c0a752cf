// Package rest serves energy.v1.QueryService and RegistryService as REST and JSON: the contract
// and proto/http.yaml say which path is which call, the generated gateway
// translates, and the OpenAPI document made of both is served beside it.
//
// Streams are newline-delimited JSON, fields are named as in the contract. A
// request that the contract does not allow is answered with 400 and a message
// that names the field and what is allowed; the gateway alone would ignore
// unknown names and leave out which field a value was for. Codes of gRPC become
// HTTP statuses as the gateway maps them: InvalidArgument 400, Unavailable 503.
// A body must say that it is JSON: one of another type is what a browser sends to
// another site without asking, and is answered with 415.
package rest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	gateway "github.com/energy-platform/energy/proto/gen/gateway/energy/v1"
)

// What a request may take.
const (
	maxBody     = 1 << 20
	bodyTimeout = 10 * time.Second
)

//go:embed openapi.swagger.json
var openAPI []byte

// New returns a handler of the paths under /v1/ and of /openapi.json, which
// calls the service at the other end of conn. While ready returns an error,
// calls are answered with it and 503.
func New(ctx context.Context, conn grpc.ClientConnInterface, ready func() error) (http.Handler, error) {
	known, err := parameters(openAPI)
	if err != nil {
		return nil, err
	}
	useStrictQueries()
	g := &guard{known: known, ready: ready}
	g.api = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newMarshaler()),
		runtime.WithMiddlewares(g.wrap),
		runtime.WithRoutingErrorHandler(routingError),
		runtime.WithIncomingHeaderMatcher(incoming),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	err = errors.Join(
		gateway.RegisterQueryServiceHandlerClient(ctx, g.api, energyv1.NewQueryServiceClient(earlyConn{conn})),
		gateway.RegisterRegistryServiceHandlerClient(ctx, g.api, energyv1.NewRegistryServiceClient(earlyConn{conn})),
		gateway.RegisterQuarantineServiceHandlerClient(ctx, g.api, energyv1.NewQuarantineServiceClient(earlyConn{conn})),
	)
	if err != nil {
		return nil, fmt.Errorf("register REST handlers: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", g.api)
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI) // the client went away
	})
	return mux, nil
}

// incoming says which headers of a request a call gets: the trace of the client besides
// what the gateway takes itself.
func incoming(key string) (string, bool) {
	switch strings.ToLower(key) {
	case "traceparent", "tracestate":
		return key, true
	default:
		return runtime.DefaultHeaderMatcher(key)
	}
}

// guard refuses what the gateway would let through.
type guard struct {
	api   *runtime.ServeMux
	known parameterNames
	ready func() error
}

func (g *guard) wrap(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		if err := g.admit(w, r); err != nil {
			_, marshaler := runtime.MarshalerForRequest(g.api, r)
			runtime.HTTPError(r.Context(), g.api, marshaler, w, r, err)
			return
		}
		w.Header().Set("Content-Type", streamType) // of a stream that ends before its first message
		next(w, r, path)
	}
}

func (g *guard) admit(w http.ResponseWriter, r *http.Request) error {
	if err := g.ready(); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if err := g.known.check(r); err != nil {
		return err
	}
	return readBody(w, r)
}

// readBody takes the body in before the call begins: the time for it is
// bounded, that for the answer is not.
func readBody(w http.ResponseWriter, r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return fmt.Errorf("bound the time for the body: %w", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "the body must come within %s and have at most %d bytes: %v",
			bodyTimeout, maxBody, err)
	}
	given := r.Header.Get("Content-Type")
	if mediaType, _, err := mime.ParseMediaType(given); len(body) > 0 && (err != nil || mediaType != "application/json") {
		return &runtime.HTTPStatusError{HTTPStatus: http.StatusUnsupportedMediaType, Err: status.Errorf(
			codes.InvalidArgument, "the body is %.64q: send JSON and the header Content-Type: application/json", given)}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return control.SetReadDeadline(time.Time{})
}

// routingError answers what is no call. The gateway's own way calls a wrong
// method 501.
func routingError( //nolint:revive // the gateway's signature
	ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int,
) {
	err := status.Errorf(codes.NotFound, "there is no %.64q: see /openapi.json", r.URL.Path)
	if code == http.StatusMethodNotAllowed {
		err = &runtime.HTTPStatusError{HTTPStatus: code, Err: status.Errorf(codes.Unimplemented,
			"%.64q does not take %s: see /openapi.json", r.URL.Path, r.Method)}
	}
	runtime.HTTPError(ctx, mux, m, w, r, err)
}

// parameterNames holds the query parameters of each call by method and path.
type parameterNames map[string][]string

func parameters(document []byte) (parameterNames, error) {
	var d struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	names := make(parameterNames)
	for path, calls := range d.Paths {
		for method, call := range calls {
			key := strings.ToUpper(method) + " " + path
			names[key] = nil
			for _, p := range call.Parameters {
				if p.In == "query" {
					names[key] = append(names[key], p.Name)
				}
			}
		}
	}
	return names, nil
}

// check refuses query parameters that the call does not have. The gateway looks
// at none when a call takes a body or nothing at all.
func (n parameterNames) check(r *http.Request) error {
	pattern, _ := runtime.HTTPPattern(r.Context())
	names := n[r.Method+" "+pattern.String()]
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "the query must be well-formed: %.64v", err)
	}
	for _, name := range sortedKeys(given) {
		switch {
		case slices.Contains(names, name):
		case len(names) == 0:
			return status.Errorf(codes.InvalidArgument, "%.64q is no query parameter: this call has none", name)
		default:
			return status.Errorf(codes.InvalidArgument, "%.64q is no query parameter: there are %s",
				name, strings.Join(names, ", "))
		}
	}
	return nil
}
