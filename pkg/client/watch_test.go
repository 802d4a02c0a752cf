package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/energy-platform/energy/pkg/client"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// watching serves watches, the first one by the first function, and so on.
func watching(t *testing.T, each ...func(
	token string, to grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse],
) error) *client.Client {
	t.Helper()
	calls := 0 // a watch has one call at a time
	return (&canned{watch: func(
		req *energyv1.WatchAggregatesRequest, to grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse],
	) error {
		calls++
		return each[calls-1](req.GetResumeToken(), to)
	}}).dial(t)
}

// changed is a response with as many windows.
func changed(token string, windows int) *energyv1.WatchAggregatesResponse {
	return &energyv1.WatchAggregatesResponse{ResumeToken: token, Aggregates: make([]*energyv1.Aggregate, windows)}
}

// TestAWatchGoesOnBehindItsLastToken breaks a watch before it stands, between two
// responses of one change, and without a word.
func TestAWatchGoesOnBehindItsLastToken(t *testing.T) {
	t.Parallel()
	var tokens []string
	type responses = []*energyv1.WatchAggregatesResponse
	type watcher = grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse]
	sends := func(all responses, ended error) func(string, watcher) error {
		return func(token string, to watcher) error {
			tokens = append(tokens, token)
			return send(to, all, ended)
		}
	}
	away := status.Error(codes.Unavailable, "away")
	c := watching(t,
		sends(nil, away),
		sends(responses{changed("1", 0), changed("", 2)}, away),
		sends(responses{changed("1", 0), changed("", 2), changed("2", 1)}, nil),
		func(token string, to watcher) error {
			tokens = append(tokens, token)
			if err := send(to, responses{changed("2", 0), changed("3", 1)}, nil); err != nil {
				return err
			}
			<-to.Context().Done()
			return to.Context().Err()
		})
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	var told []string
	type got struct {
		Windows int
		Token   string
	}
	var changes []got
	for change, err := range c.Watch(ctx, client.Selection{
		Token: "0", Window: client.Window{Fixed: time.Hour},
		Retrying: func(err error, _ time.Duration) { told = append(told, err.Error()) },
	}) {
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, got{len(change.Aggregates), change.Token})
		if change.Token == "3" {
			cancel()
		}
	}
	if diff := cmp.Diff([]string{"0", "0", "1", "2"}, tokens); diff != "" {
		t.Errorf("tokens of the calls: %s", diff)
	}
	if diff := cmp.Diff([]string{"watch: away", "watch: away", "watch: the server ended the watch"}, told); diff != "" {
		t.Errorf("what was told: %s", diff)
	}
	want := []got{{0, "1"}, {2, ""}, {0, "1"}, {2, ""}, {1, "2"}, {0, "2"}, {1, "3"}}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes: %s", diff)
	}
}

func TestAWatchEndsWithWhatAskingAgainDoesNotMend(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]error{
		codes.OutOfRange: client.ErrMissed, codes.InvalidArgument: client.ErrInvalid,
	} {
		c := watching(t, func(_ string, to grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse]) error {
			return send(to, []*energyv1.WatchAggregatesResponse{changed("1", 0)}, status.Error(code, "no"))
		})
		changes, err := collect(c.Watch(patient(t), client.Selection{}))
		if len(changes) != 1 || !errors.Is(err, want) {
			t.Errorf("%s: %d changes, %v", code, len(changes), err)
		}
	}
}

// TestAWatchBacksOff has nobody to talk to. It ends while it waits.
func TestAWatchBacksOff(t *testing.T) {
	t.Parallel()
	address, stop, err := new(canned).serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	c := dial(t, address, client.Options{RetryFirst: 4 * time.Millisecond, RetryLongest: 13 * time.Millisecond})
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	var waits []time.Duration
	changes, err := collect(c.Watch(ctx, client.Selection{Retrying: func(err error, wait time.Duration) {
		if !errors.Is(err, client.ErrUnavailable) {
			t.Error(err)
		}
		if waits = append(waits, wait); len(waits) == 5 {
			cancel()
		}
	}}))
	if len(changes) != 0 || err != nil || len(waits) != 5 {
		t.Fatalf("%d changes, %v after %v", len(changes), err, waits)
	}
	const ms = time.Millisecond
	for i, most := range []time.Duration{4 * ms, 8 * ms, 13 * ms, 13 * ms, 13 * ms} {
		if waits[i] < most/2 || waits[i] > most {
			t.Errorf("wait %d is %s, want between %s and %s", i, waits[i], most/2, most)
		}
	}
}

func TestAWatchOfAClosedClientEnds(t *testing.T) {
	t.Parallel()
	c, err := client.Dial("127.0.0.1:9", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(c.Watch(patient(t), client.Selection{})); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
