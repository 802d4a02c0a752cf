package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/page"
	"github.com/energy-platform/energy/services/internal/rest"
)

// insideBuffer is how many bytes may be under way between HTTP and gRPC.
const insideBuffer = 256 << 10

// api is the query API of a process, over gRPC, as REST and as a page. Both call
// the gRPC server through memory: what serves the network answers, with all that
// stands before its handlers, and neither its address nor its credentials matter.
type api struct {
	service    energyv1.QueryServiceServer // all three set before stands is closed
	registry   energyv1.RegistryServiceServer
	quarantine energyv1.QuarantineServiceServer
	inside     *bufconn.Listener
	stands     chan struct{} // closed when inside is served
	conn       *grpc.ClientConn
	overHTTP   http.Handler
	options    []grpc.ServerOption
}

var errStarting = errors.New("the service is starting, try again: GET /health says what it waits for")

// newAPI returns the API of a process whose spans tracers opens.
func newAPI(ctx context.Context, options []grpc.ServerOption) (*api, error) {
	a := &api{inside: bufconn.Listen(insideBuffer), stands: make(chan struct{}), options: options}
	var err error
	a.conn, err = grpc.NewClient("passthrough:///inside",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return a.inside.DialContext(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("connect HTTP to gRPC: %w", err)
	}
	if a.overHTTP, err = a.handler(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// handler serves REST and, everywhere else, the page.
func (a *api) handler(ctx context.Context) (http.Handler, error) {
	ready := func() error {
		select {
		case <-a.stands:
			return nil
		default:
			return errStarting
		}
	}
	programs, err := rest.New(ctx, a.conn, ready)
	if err != nil {
		return nil, err
	}
	people, err := page.New(ctx, a.conn, ready)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", programs)
	mux.Handle("GET /openapi.json", programs)
	mux.Handle("/", people)
	return mux, nil
}

// Close closes the way from HTTP to gRPC.
func (a *api) Close() error { return errors.Join(a.conn.Close(), a.inside.Close()) }
