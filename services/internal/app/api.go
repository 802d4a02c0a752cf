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
	"github.com/energy-platform/energy/services/internal/rest"
)

// insideBuffer is how many bytes may be under way between REST and gRPC.
const insideBuffer = 256 << 10

// api is the query API of a process, over gRPC and REST. REST calls the gRPC
// server through memory: what serves the network answers, with all that stands
// before its handlers, and neither its address nor its credentials matter.
type api struct {
	service  energyv1.QueryServiceServer // both set before stands is closed
	registry energyv1.RegistryServiceServer
	inside   *bufconn.Listener
	stands   chan struct{} // closed when inside is served
	conn     *grpc.ClientConn
	rest     http.Handler
}

var errStarting = errors.New("the service is starting, try again: GET /health says what it waits for")

func newAPI(ctx context.Context) (*api, error) {
	a := &api{inside: bufconn.Listen(insideBuffer), stands: make(chan struct{})}
	var err error
	a.conn, err = grpc.NewClient("passthrough:///inside",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return a.inside.DialContext(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("connect REST to gRPC: %w", err)
	}
	a.rest, err = rest.New(ctx, a.conn, func() error {
		select {
		case <-a.stands:
			return nil
		default:
			return errStarting
		}
	})
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close closes the way from REST to gRPC.
func (a *api) Close() error { return errors.Join(a.conn.Close(), a.inside.Close()) }
