package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/app"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/publish"
	"github.com/energy-platform/energy/services/internal/settings"
	"github.com/energy-platform/energy/services/internal/source"
)

// The readings that the tests run on.
const (
	householdFile    = "../../docs/data/household_power_consumption.txt.gz"
	householdMapping = "../../docs/data/household.yaml"
)

// patience bounds every wait of these tests, unless a platform has its own.
const patience = 3 * time.Minute

// platform is a running platform as its users see it.
type platform struct {
	natsURL, databaseURL string
	grpc                 string // address of query
	http, mqtt           string // addresses of an embedded platform
	query                energyv1.QueryServiceClient
	patience             time.Duration // of await; 0 is patience
}

// database returns the URL of a fresh, migrated database.
func database(t *testing.T) string {
	t.Helper()
	return pgtest.Database(t, "gold", func(ctx context.Context, url string) error {
		_, err := goldstore.Migrate(ctx, url)
		return err
	})
}

// embedded runs all services in this process, against a server of its own.
func embedded(t *testing.T, change ...func(*localnats.Options)) *platform {
	t.Helper()
	return embeddedWith(t, nil, change...)
}

// embeddedWith is embedded with further settings.
func embeddedWith(t *testing.T, more map[string]string, change ...func(*localnats.Options)) *platform {
	t.Helper()
	server := natstest.Server(t, change...)
	p := on(t, server.URL(), database(t), more)
	p.mqtt = server.MQTT()
	return p
}

// on runs all services in this process, against servers that stand, with further
// settings.
func on(t *testing.T, natsURL, databaseURL string, more map[string]string) *platform {
	t.Helper()
	provision(t, natsURL, 4)
	environment := map[string]string{
		"ENERGY_NATS_URL":    natsURL,
		"DATABASE_URL":       databaseURL,
		"ENERGY_HTTP_LISTEN": freeAddress(t),
		"ENERGY_GRPC_LISTEN": freeAddress(t),
		// Parents are written at once: answers are to be the same.
		"ENERGY_PARENTS_QUIET": "0s",
	}
	maps.Copy(environment, more)
	s, err := config.Load[settings.All](environment)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	go func() { ended <- app.RunAll(ctx, s, log, app.Extras{}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the platform did not stop cleanly: %v", err)
		}
	})
	return &platform{
		natsURL: natsURL, databaseURL: environment["DATABASE_URL"], http: s.HTTPListen, grpc: s.GRPCListen,
		query: queryClient(t, s.GRPCListen),
	}
}

func provision(t *testing.T, natsURL string, partitions int) {
	t.Helper()
	conn, err := nats.Connect(natsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := broker.JetStream(conn)
	if err != nil {
		t.Fatal(err)
	}
	topology := broker.DefaultTopology()
	topology.Partitions = partitions
	if err := broker.Provision(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	first, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	store, err := broker.OpenEpochs(t.Context(), js)
	if err == nil {
		err = epochs.Ensure(t.Context(), store, []byte(first.Document()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// testLog keeps what services log with the test that ran them.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Logf("%s", line)
	return len(line), nil
}

// givenAddresses are those that freeAddress has returned.
var givenAddresses sync.Map

// freeAddress returns an address that nobody listens on. Its port lies below
// those that connections are given, so that it is still free when a killed
// service comes back to it; no two tests are given the same.
func freeAddress(t *testing.T) string {
	t.Helper()
	const lowest, highest = 15000, 32000
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest))
		if _, taken := givenAddresses.LoadOrStore(address, true); taken {
			continue
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

func queryClient(t *testing.T, address string) energyv1.QueryServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return energyv1.NewQueryServiceClient(conn)
}

// household publishes the household file and returns what became of it.
func (p *platform) household(t *testing.T, change func(*publish.Options)) publish.Receipt {
	t.Helper()
	mapping, err := source.LoadMapping(householdMapping)
	if err != nil {
		t.Fatal(err)
	}
	o := publish.Options{Files: []string{householdFile}, Mapping: mapping, URL: p.natsURL}
	if change != nil {
		change(&o)
	}
	receipt, err := publish.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Acknowledged != receipt.Published || receipt.Bad != 0 {
		t.Fatalf("not all was published:\n%s", receipt)
	}
	return receipt
}

// status asks for the state of the pipeline, again while a server is away.
func (p *platform) status(t *testing.T) *energyv1.GetPipelineStatusResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		s, err := p.query.GetPipelineStatus(ctx, &energyv1.GetPipelineStatusRequest{})
		if err == nil {
			return s
		}
		if status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
	}
}

// await polls the state of the pipeline until it is as wanted.
func (p *platform) await(
	t *testing.T, what string, wanted func(*energyv1.GetPipelineStatusResponse) bool,
) *energyv1.GetPipelineStatusResponse {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	patience := cmp.Or(p.patience, patience)
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		s := p.status(t)
		if wanted(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s; the pipeline is %v", patience, what, s)
		}
	}
}

func caughtUp(s *energyv1.GetPipelineStatusResponse) bool { return s.GetCaughtUp() }

// aggregates asks for windows and returns the answers by series.
func (p *platform) aggregates(t *testing.T, req *energyv1.QueryAggregatesRequest) map[string][]*energyv1.Aggregate {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := p.query.QueryAggregates(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(map[string][]*energyv1.Aggregate)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answers
		}
		if err != nil {
			t.Fatal(err)
		}
		key := r.GetSeries().GetEntityId() + " " + r.GetSeries().GetMetric()
		answers[key] = append(answers[key], r.GetAggregates()...)
	}
}

// rows returns a view of gold as text, a line a row.
func (p *platform) rows(t *testing.T, view string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	result, err := conn.Query(t.Context(),
		"SELECT v::text FROM "+view+" v ORDER BY entity, metric, unit, start, width")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(result, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// sameRows fails the test at the first row in which two platforms differ.
func sameRows(t *testing.T, what string, want, got []string) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			var w, g string
			if i < len(want) {
				w = want[i]
			}
			if i < len(got) {
				g = got[i]
			}
			t.Fatalf("%s: row %d of %d and %d differs:\n%s\n%s", what, i, len(want), len(got), w, g)
		}
	}
	if len(want) == 0 {
		t.Fatalf("%s: there are no rows", what)
	}
}

var quarterHour = durationpb.New(15 * time.Minute)

// day returns local midnight of a date.
func day(t *testing.T, date string, zone *time.Location) *timestamppb.Timestamp {
	t.Helper()
	at, err := time.ParseInLocation(time.DateOnly, date, zone)
	if err != nil {
		t.Fatal(err)
	}
	return timestamppb.New(at)
}
