package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/energy-platform/energy/pkg/health"
	"github.com/energy-platform/energy/pkg/lifecycle"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/origin"
)

// readHeaderTimeout bounds how long a client may take to say what it wants.
const readHeaderTimeout = 5 * time.Second

// serveHTTP serves what a handler has until ctx ends, to programs and to browsers that
// are on no other site's errand.
func serveHTTP(address string, handler http.Handler, grace time.Duration, log *slog.Logger) lifecycle.Run {
	return func(ctx context.Context) error {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listen for HTTP (ENERGY_HTTP_LISTEN): %w", err)
		}
		loopback := origin.IsLoopback(listener.Addr().String())
		server := &http.Server{Handler: origin.Guard(handler, loopback), ReadHeaderTimeout: readHeaderTimeout}
		log.InfoContext(ctx, "http listens", "address", listener.Addr().String())
		return serve(ctx, grace,
			func() error { return server.Serve(listener) },
			server.Shutdown,
			server.Close,
		)
	}
}

// serveProfiles serves what runtime/pprof has until ctx ends; without an address it
// serves nothing.
func serveProfiles(address string, grace time.Duration, log *slog.Logger) lifecycle.Run {
	return func(ctx context.Context) error {
		if address == "" {
			return nil
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listen for profiles (ENERGY_PROFILE_LISTEN): %w", err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		server := &http.Server{Handler: origin.Guard(mux, true), ReadHeaderTimeout: readHeaderTimeout}
		log.InfoContext(ctx, "profiles are served", "address", listener.Addr().String())
		return serve(ctx, grace,
			func() error { return server.Serve(listener) },
			server.Shutdown,
			server.Close,
		)
	}
}

// serveGRPC serves health, reflection and, if not nil, an API until ctx ends:
// to the network and to this process.
func serveGRPC(
	address string, monitor *health.Monitor, grace time.Duration, log *slog.Logger, api *api,
) lifecycle.Run {
	return func(ctx context.Context) error {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listen for gRPC (ENERGY_GRPC_LISTEN): %w", err)
		}
		var options []grpc.ServerOption
		if api != nil {
			options = api.options
		}
		server := grpc.NewServer(options...)
		healthv1.RegisterHealthServer(server, monitor.Server())
		listeners := []net.Listener{listener}
		if api != nil {
			energyv1.RegisterQueryServiceServer(server, api.service)
			energyv1.RegisterRegistryServiceServer(server, api.registry)
			energyv1.RegisterQuarantineServiceServer(server, api.quarantine)
			listeners = append(listeners, api.inside)
			close(api.stands)
		}
		reflection.Register(server)
		log.InfoContext(ctx, "grpc listens", "address", listener.Addr().String())
		return serve(ctx, grace,
			func() error { return serveAll(server, listeners) },
			func(ctx context.Context) error {
				stopped := make(chan struct{})
				go func() { server.GracefulStop(); close(stopped) }()
				select {
				case <-stopped:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			func() error { server.Stop(); return nil },
		)
	}
}

// serveAll serves on several listeners until the server stops or one fails.
func serveAll(server *grpc.Server, listeners []net.Listener) error {
	var g errgroup.Group
	for _, l := range listeners {
		g.Go(func() error {
			err := server.Serve(l)
			if err != nil {
				server.Stop()
			}
			return err
		})
	}
	return g.Wait()
}

// serve runs a server until ctx ends, then drains it within the grace period,
// then closes it.
func serve(
	ctx context.Context, grace time.Duration, run func() error, drain func(context.Context) error, closeNow func() error,
) error {
	failed := make(chan error, 1)
	go func() { failed <- run() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := drain(limit)
	if errors.Is(err, context.DeadlineExceeded) {
		err = closeNow()
	}
	served := <-failed
	if err == nil && !errors.Is(served, http.ErrServerClosed) && !errors.Is(served, grpc.ErrServerStopped) {
		err = served
	}
	return err
}
