package cli

import (
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// defaultServer is where query listens if nothing else is said.
const defaultServer = "127.0.0.1:9090"

// serverUsage describes the flag that names the query service.
const serverUsage = "address of the query service (ENERGY_QUERY_ADDRESS)"

// dial returns a client of the query service. Close must be called.
func dial(address string, options ...grpc.CallOption) (
	client energyv1.QueryServiceClient, closeConn func() error, err error,
) {
	conn, err := connect(address, options...)
	if err != nil {
		return nil, nil, err
	}
	return energyv1.NewQueryServiceClient(conn), conn.Close, nil
}

// dialRegistry is dial for the registry of entities.
func dialRegistry(address string) (client energyv1.RegistryServiceClient, closeConn func() error, err error) {
	conn, err := connect(address)
	if err != nil {
		return nil, nil, err
	}
	return energyv1.NewRegistryServiceClient(conn), conn.Close, nil
}

// dialQuarantine is dial for the quarantine.
func dialQuarantine(address string) (client energyv1.QuarantineServiceClient, closeConn func() error, err error) {
	conn, err := connect(address)
	if err != nil {
		return nil, nil, err
	}
	return energyv1.NewQuarantineServiceClient(conn), conn.Close, nil
}

func connect(address string, options ...grpc.CallOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(options...))
	if err != nil {
		return nil, usageError{fmt.Errorf("--server %q: %w", address, err)}
	}
	return conn, nil
}

// explain turns an error of the query service into a sentence for people.
func explain(address string, err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	switch s.Code() {
	case codes.InvalidArgument:
		return usageError{fmt.Errorf("%s", s.Message())}
	case codes.Unavailable:
		hint := ""
		if strings.Contains(s.Message(), "connection refused") {
			hint = "; is the platform running (energy up), and are services of their own migrated (energy migrate)?"
		}
		return fmt.Errorf("query service at %s: %s%s", address, s.Message(), hint)
	default:
		return fmt.Errorf("query service at %s: %s: %s", address, s.Code(), s.Message())
	}
}
