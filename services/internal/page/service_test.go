package page

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// noon is when the latest reading of every series of a service is.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// service answers as a test wants.
type service struct {
	energyv1.UnimplementedQueryServiceServer
	mu      sync.Mutex
	series  []*energyv1.ListSeriesResponse // in order
	value   float64                        // of every window
	sick    error                          // what the state of the pipeline is answered with
	watched chan *energyv1.WatchAggregatesRequest
	changes chan string // tokens of changes to report
}

func newService(series ...*energyv1.ListSeriesResponse) *service {
	return &service{
		series: series, value: 1, watched: make(chan *energyv1.WatchAggregatesRequest, 100), changes: make(chan string),
	}
}

func gauge(entity, metric, unit string) *energyv1.ListSeriesResponse {
	return &energyv1.ListSeriesResponse{
		Series: &energyv1.SeriesKey{EntityId: entity, Metric: metric, Unit: unit}, Kind: energyv1.Kind_KIND_GAUGE,
		BaseWindow: durationpb.New(15 * time.Minute),
	}
}

func (s *service) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *service) ListSeries(
	req *energyv1.ListSeriesRequest, out grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := 0
	name := func(k *energyv1.SeriesKey) string {
		return k.GetEntityId() + "\n" + k.GetMetric() + "\n" + k.GetUnit()
	}
	for _, one := range s.series {
		entities := req.GetSelector().GetEntityIds()
		switch {
		case req.GetLimit() > 0 && sent == int(req.GetLimit()):
			return nil
		case len(entities) > 0 && !slices.Contains(entities, one.GetSeries().GetEntityId()):
		case req.GetAfter() != nil && name(one.GetSeries()) <= name(req.GetAfter()):
		case slices.ContainsFunc(req.GetContains(), func(part string) bool {
			return !strings.Contains(name(one.GetSeries()), part)
		}):
		default:
			sent++
			if err := out.Send(one); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *service) GetLatest(
	req *energyv1.GetLatestRequest, out grpc.ServerStreamingServer[energyv1.GetLatestResponse],
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.series {
		if slices.Contains(req.GetSelector().GetEntityIds(), one.GetSeries().GetEntityId()) {
			err := out.Send(&energyv1.GetLatestResponse{Series: one.GetSeries(), Time: timestamppb.New(noon), Value: s.value})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// QueryAggregates answers quarter hours, hours or, for all else, days.
func (s *service) QueryAggregates(
	req *energyv1.QueryAggregatesRequest, out grpc.ServerStreamingServer[energyv1.QueryAggregatesResponse],
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.GetEnd().AsTime().Before(req.GetStart().AsTime()) {
		return status.Error(codes.InvalidArgument, "end must be after start")
	}
	width := req.GetWindow().GetFixed().AsDuration()
	if width == 0 {
		width = 24 * time.Hour
	}
	one := s.series[slices.IndexFunc(s.series, func(one *energyv1.ListSeriesResponse) bool {
		return one.GetSeries().GetEntityId() == req.GetSelector().GetEntityIds()[0]
	})]
	r := &energyv1.QueryAggregatesResponse{Series: one.GetSeries(), Kind: one.GetKind()}
	for at := req.GetStart().AsTime().Truncate(width); at.Before(req.GetEnd().AsTime()); at = at.Add(width) {
		whole, value := 1.0, s.value
		r.Aggregates = append(r.Aggregates, &energyv1.Aggregate{
			Start: timestamppb.New(at), End: timestamppb.New(at.Add(width)), Received: 2, Expected: 2, Completeness: &whole,
			Mean: &value, Statistics: &energyv1.Statistics{Count: 2, Sum: 2 * value, Min: value, Max: value},
		})
	}
	return out.Send(r)
}

func (s *service) WatchAggregates(
	req *energyv1.WatchAggregatesRequest, out grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse],
) error {
	s.watched <- req
	if req.GetResumeToken() == "old" {
		return status.Error(codes.OutOfRange, "resume_token is older than what the feed holds")
	}
	if err := out.Send(&energyv1.WatchAggregatesResponse{ResumeToken: "first"}); err != nil {
		return err
	}
	for {
		select {
		case token := <-s.changes:
			if token == "break" {
				return status.Error(codes.Unavailable, "the broker does not answer")
			}
			if err := out.Send(&energyv1.WatchAggregatesResponse{ResumeToken: token}); err != nil {
				return err
			}
		case <-out.Context().Done():
			return nil
		}
	}
}

func (s *service) GetPipelineStatus(
	context.Context, *energyv1.GetPipelineStatusRequest,
) (*energyv1.GetPipelineStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &energyv1.GetPipelineStatusResponse{
		CaughtUp:   true,
		Stages:     []*energyv1.StageStatus{{Stage: "ingest", ReadingsIn: 1234567, Lag: durationpb.New(90 * time.Second)}},
		Streams:    []*energyv1.StreamStatus{{Name: "READINGS", Bytes: 1 << 30, MaxBytes: 2 << 30}},
		Quarantine: []*energyv1.QuarantineCount{{Stage: "silver", Rule: "unit_mismatch", Readings: 3}},
	}, s.sick
}

// site is a page that asks a service.
type site struct {
	*httptest.Server
	stop context.CancelFunc // as the service's process stops
}

func open(t *testing.T, s *service) *site {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	energyv1.RegisterQueryServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///page", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	handler, err := New(ctx, conn, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(handler)
	t.Cleanup(func() {
		cancel()
		web.Close()
		conn.Close()
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return &site{Server: web, stop: cancel}
}
