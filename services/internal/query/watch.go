package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// watchLimits bound what a watch evaluates at once. The linger lets changes of
// one window come together.
var watchLimits = broker.BatchLimits{Bytes: 1 << 20, Linger: 20 * time.Millisecond}

// WatchAggregates streams windows anew whenever one of their rows changes. It
// follows the GOLD feed, which every committed change reaches, and answers from
// the store, so that a window is never older than the change that it reports.
func (s *Server) WatchAggregates(
	req *energyv1.WatchAggregatesRequest, stream grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse],
) error {
	w := &watch{server: s, stream: stream, touched: make(map[reading.Series][]wire.ChangedRow)}
	var err error
	if w.selection, err = parseSelector(req.GetSelector()); err != nil {
		return err
	}
	if err := w.setWindow(req.GetWindow()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go func() {
		select {
		case <-s.stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	err = w.follow(ctx, req.GetResumeToken())
	if context.Cause(ctx) == errStopping { //nolint:errorlint // the very value
		return errStopping // whatever that has cut off
	}
	return statusOf(err)
}

// follow reports what changes behind a token, until something fails.
func (w *watch) follow(ctx context.Context, token string) error {
	if err := w.open(ctx, token); err != nil {
		return err
	}
	defer w.reader.Close()
	if err := w.sendToken(); err != nil {
		return err
	}
	for {
		batch, err := w.reader.NextBatch(ctx, watchLimits)
		if err != nil {
			return brokerError{err}
		}
		err = w.report(ctx, batch)
		batch.Release()
		if err != nil {
			return err
		}
		if w.server.now().Sub(w.tokenSent) >= tokenAge {
			if err := w.sendToken(); err != nil {
				return err
			}
		}
	}
}

// tokenAge is how old the last token of a watch may get while others' series
// change: the feed forgets what is older than a day.
const tokenAge = 10 * time.Minute

// errStopping ends a watch of a server that stops. The client watches again,
// with its token, wherever the service is then.
var errStopping = status.Error(codes.Unavailable, "the server is stopping: watch again with the last token")

// watch is one call of WatchAggregates.
type watch struct {
	scope
	server    *Server
	stream    grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse]
	reader    *broker.Reader
	sequence  uint64 // of the feed, all reported up to here
	tokenSent time.Time
	touched   map[reading.Series][]wire.ChangedRow
}

// sendToken sends the token alone.
func (w *watch) sendToken() error {
	w.tokenSent = w.server.now()
	return w.stream.Send(&energyv1.WatchAggregatesResponse{ResumeToken: w.token()})
}

// token names the place in the feed behind which a new watch goes on.
func (w *watch) token() string {
	return fmt.Sprintf("%d-%d", w.reader.Created().UnixNano(), w.sequence)
}

func parseToken(token string) (created int64, sequence uint64, ok bool) {
	before, after, _ := strings.Cut(token, "-")
	created, createdErr := strconv.ParseInt(before, 10, 64)
	sequence, sequenceErr := strconv.ParseUint(after, 10, 64)
	return created, sequence, createdErr == nil && sequenceErr == nil
}

// open starts to read the feed behind a token, at its end without one.
func (w *watch) open(ctx context.Context, token string) error {
	js := w.server.pipeline.JetStream
	feed, err := broker.Stream(ctx, js, broker.StreamGold)
	if err != nil {
		return brokerError{err}
	}
	w.sequence = feed.LastSequence
	if token != "" {
		created, sequence, ok := parseToken(token)
		if !ok {
			return invalid("resume_token", "%.64q is none: give the last one that a response carried, or none", token)
		}
		w.sequence = sequence
		if created != feed.Created.UnixNano() || w.sequence > feed.LastSequence || w.sequence+1 < feed.FirstSequence {
			return status.Error(codes.OutOfRange,
				"resume_token is older than what the feed holds: watch again without a token, then query")
		}
	}
	w.reader, err = broker.OpenReader(ctx, js, broker.ReaderConfig{
		Stream: broker.StreamGold, From: w.sequence, Created: feed.Created,
	})
	if errors.Is(err, broker.ErrBeyondEnd) || errors.Is(err, broker.ErrStreamRecreated) {
		return status.Error(codes.OutOfRange, "the feed was made anew: watch again without a token, then query")
	}
	if err != nil {
		return brokerError{err}
	}
	return nil
}

// report answers the windows that a batch of the feed touched.
func (w *watch) report(ctx context.Context, batch *broker.Batch) error {
	clear(w.touched)
	for i := range batch.Messages {
		// The feed is read whole and nothing is deleted from its middle.
		if expected := w.sequence + 1 + uint64(i); batch.Messages[i].Sequence != expected {
			return status.Errorf(codes.OutOfRange, "the feed no longer holds changes %d to %d, which this watch was too slow "+
				"to take: watch again without a token, then query", expected, batch.Messages[i].Sequence-1)
		}
		rows, err := wire.DecodeChanges(batch.Messages[i].Data)
		if err != nil {
			return fmt.Errorf("message %d of the feed: %w", batch.Messages[i].Sequence, err)
		}
		for _, row := range rows {
			if w.selected(row.Series) {
				w.touched[row.Series] = append(w.touched[row.Series], row)
			}
		}
	}
	if len(w.touched) == 0 {
		w.sequence = batch.Last
		return nil
	}
	var held *energyv1.WatchAggregatesResponse // the last one, which is to carry the token
	send := func(r *energyv1.WatchAggregatesResponse) error {
		next := held
		if held = r; next == nil {
			return nil
		}
		return w.stream.Send(next)
	}
	type response = *energyv1.WatchAggregatesResponse
	err := stream(ctx, w.server, send, func(ctx context.Context, tx *goldstore.ReadTx, emit func(response) error) error {
		for s, rows := range w.touched {
			if err := w.answers(ctx, tx, s, rows, emit); err != nil {
				return err
			}
		}
		return nil
	})
	if w.sequence = batch.Last; err != nil || held == nil {
		return err
	}
	held.ResumeToken, w.tokenSent = w.token(), w.server.now()
	return w.stream.Send(held)
}

func (w *watch) selected(s reading.Series) bool {
	matches := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	return matches(w.series.Entities, s.EntityID) && matches(w.series.Metrics, s.Metric)
}
