package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Defaults of Options.
const (
	DefaultRetryFirst   = 100 * time.Millisecond
	DefaultRetryLongest = 10 * time.Second
)

const (
	// keepaliveTime is after how much silence the server is asked whether it is
	// there, so that a watch notices a connection that died without a word. A gRPC
	// server hangs up on whoever asks more often than every 5 minutes.
	keepaliveTime = 6 * time.Minute
	// connectTimeout bounds one attempt to connect.
	connectTimeout = 5 * time.Second
)

// Options says how to connect. The zero value is for a platform on this machine.
type Options struct {
	// TLS of the connection; nil is plain text, which only leaves for addresses of
	// this machine.
	TLS *tls.Config
	// Insecure lets plain text leave for any address, where the network keeps others
	// out.
	Insecure bool

	// Watch tries again after RetryFirst, then after twice as long each time, up to
	// RetryLongest; 0 is the default. Jitter takes up to half of that off.
	RetryFirst, RetryLongest time.Duration

	// Dial adds to the connection: interceptors, credentials of calls.
	Dial []grpc.DialOption
}

// Client asks one platform. It is safe for concurrent use.
type Client struct {
	conn                     *grpc.ClientConn
	query                    energyv1.QueryServiceClient
	registry                 energyv1.RegistryServiceClient
	retryFirst, retryLongest time.Duration
}

// Dial returns a client of the query service at an address such as 127.0.0.1:9090.
// It connects with the first call, and again whenever the connection is lost; so an
// error is about the arguments, and [ErrInvalid]. Close must be called.
func Dial(address string, o Options) (*Client, error) {
	secret := insecure.NewCredentials()
	switch {
	case o.TLS != nil:
		secret = credentials.NewTLS(o.TLS)
	case !o.Insecure && !isLocal(address):
		return nil, invalid("dial", "address", "%.256q is not of this machine, and would be sent plain text: "+
			"give Options.TLS, or Options.Insecure where the network keeps others out", address)
	}
	c := &Client{
		retryFirst: cmp.Or(o.RetryFirst, DefaultRetryFirst), retryLongest: cmp.Or(o.RetryLongest, DefaultRetryLongest),
	}
	if c.retryFirst < 0 || c.retryLongest < c.retryFirst {
		return nil, invalid("dial", "retry_longest", "%s must be at least retry_first, %s, and neither below 0",
			c.retryLongest, c.retryFirst)
	}
	connecting := backoff.DefaultConfig
	connecting.BaseDelay, connecting.MaxDelay = c.retryFirst, c.retryLongest
	conn, err := grpc.NewClient(address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(secret),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: connecting, MinConnectTimeout: connectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime}),
	}, o.Dial...)...)
	if err != nil {
		return nil, invalid("dial", "address", "%.256q cannot be dialled: %v", address, err)
	}
	c.conn, c.query, c.registry = conn, energyv1.NewQueryServiceClient(conn), energyv1.NewRegistryServiceClient(conn)
	return c, nil
}

// Close closes the connection. Calls that are under way end with an error.
func (c *Client) Close() error { return c.conn.Close() }

// isLocal reports whether an address is certainly of this machine.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// responses yields what a call answers, and then the error that broke it off, if one
// did.
func responses[Request proto.Message, Response any](
	ctx context.Context, call string, req Request,
	open func(context.Context, Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Response], error),
) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		if err := checkText(call, req); err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // also when the caller leaves
		stream, err := open(ctx, req)
		for err == nil {
			var r *Response
			if r, err = stream.Recv(); err == nil && !yield(r, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, failed(call, err))
		}
	}
}

// each yields what is made of each response.
func each[Response, T any](
	in iter.Seq2[*Response, error], of func(*Response) T,
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for r, err := range in {
			var one T
			if err == nil {
				one = of(r)
			}
			if !yield(one, err) {
				return
			}
		}
	}
}
