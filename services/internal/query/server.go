// Package query is the service that answers from gold over gRPC.
package query

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Server implements energy.v1.QueryService.
type Server struct {
	energyv1.UnimplementedQueryServiceServer
	store    *goldstore.Store
	epochs   func() catalog.Epochs
	pipeline Pipeline
	timeout  time.Duration
	stopping <-chan struct{}
	now      func() time.Time
}

// NewServer returns a server that reads from a store, under the epochs of the
// catalogue when an answer begins, at most for the timeout for one answer, and
// reports on a pipeline. Watches end when ctx does, so that they hold up no
// shutdown.
func NewServer(
	ctx context.Context, store *goldstore.Store, epochs func() catalog.Epochs, pipeline Pipeline, timeout time.Duration,
) *Server {
	return &Server{store: store, epochs: epochs, pipeline: pipeline, timeout: timeout, stopping: ctx.Done(), now: time.Now}
}

// ahead is how many messages are read before the client has taken them.
const ahead = 4

// stream sends what read emits from one snapshot. A client that is slow holds
// the snapshot until the server's timeout and no longer: reading goes on beside
// sending.
func stream[M any](
	ctx context.Context, s *Server, send func(M) error,
	read func(ctx context.Context, tx *goldstore.ReadTx, emit func(M) error) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	messages, ended := make(chan M, ahead), make(chan error, 1)
	go func() {
		defer close(messages)
		ended <- s.store.Read(ctx, func(tx *goldstore.ReadTx) error {
			return read(ctx, tx, func(m M) error {
				select {
				case messages <- m:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}()
	var failed error
	for m := range messages {
		if failed != nil {
			continue // the reader has been told, and may have sent one more
		}
		if failed = send(m); failed != nil {
			cancel()
		}
	}
	if err := <-ended; failed == nil {
		failed = err
	}
	return statusOf(failed)
}

// ListSeries streams the series that match.
func (s *Server) ListSeries(
	req *energyv1.ListSeriesRequest, out grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
) error {
	selected, err := parseSelector(req.GetSelector())
	if err != nil {
		return err
	}
	page, err := pageOf(req)
	if err != nil {
		return err
	}
	type response = *energyv1.ListSeriesResponse
	c := s.epochs().Newest()
	return stream(out.Context(), s, out.Send,
		func(ctx context.Context, tx *goldstore.ReadTx, emit func(response) error) error {
			series, _, err := selected.find(ctx, tx, page, false)
			if err != nil {
				return err
			}
			for _, one := range series {
				m := c.Metric(one.Series)
				err := emit(&energyv1.ListSeriesResponse{
					Series: wire.SeriesKey(one.Series), Kind: energyv1.Kind(m.Kind),
					EnergyUnit: m.EnergyUnit, PowerUnit: m.PowerUnit, BaseWindow: durationpb.New(m.Window),
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
}

// QueryAggregates streams the windows of the series that the selector matches,
// or of groups of them.
func (s *Server) QueryAggregates(
	req *energyv1.QueryAggregatesRequest, out grpc.ServerStreamingServer[energyv1.QueryAggregatesResponse],
) error {
	q, err := parseQuestion(req)
	if err != nil {
		return err
	}
	type response = *energyv1.QueryAggregatesResponse
	epochs, now := s.epochs(), s.now().UnixNano()
	if err := notAhead(q.knownAt, now); err != nil {
		return err
	}
	return stream(out.Context(), s, out.Send,
		func(ctx context.Context, tx *goldstore.ReadTx, emit func(response) error) error {
			series, registry, err := q.find(ctx, tx, goldstore.Page{}, q.registered())
			if err != nil {
				return err
			}
			r := responder{
				question: q, from: tx, catalog: epochs.Newest(), registry: registry, now: now, send: emit,
			}
			if q.knownAt != nil {
				*q.knownAt = min(*q.knownAt, now)
				r.now, r.catalog = *q.knownAt, epochs.InForce(time.Unix(0, *q.knownAt))
				r.from = newPast(tx, epochs.Newest().History(), r.catalog, series, r.now)
			}
			return r.answer(ctx, series)
		})
}
