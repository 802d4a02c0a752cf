package client

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Selection is what a watch follows.
type Selection struct {
	Selector Selector
	Window   Window // required
	// Token of the last Change that was dealt with, to go on behind it in another
	// process. The platform holds what changed for a day. Empty is from now on.
	Token string
	// Retrying, unless nil, is told why the watch is broken and how long it waits
	// before it tries again.
	Retrying func(err error, wait time.Duration)
}

// Change is windows that changed.
type Change struct {
	// As a query would answer them now. There are none in the first Change, which says
	// that the watch stands, in the first one after it was broken, and where only the
	// token is newer.
	Aggregates []Aggregate
	// Token says that everything up to here has been delivered; it is empty while more
	// of the same changes follow.
	Token string
}

// Watch yields the windows of a selection anew whenever readings change them, until
// ctx ends, which is no error. To miss nothing, ask for the windows once the first
// Change says that the watch stands.
//
// A platform that does not answer, at first or later, is tried again, and the watch
// goes on where it was: each change is delivered at least once. [ErrMissed] says that
// it cannot, and [ErrInvalid] that the selection is refused; these and all other
// errors end the watch.
func (c *Client) Watch(ctx context.Context, s Selection) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if err := s.Window.check("watch"); err != nil {
			yield(Change{}, err)
			return
		}
		req := &energyv1.WatchAggregatesRequest{
			Selector: s.Selector.message(), Window: s.Window.message(), ResumeToken: s.Token,
		}
		for delay := c.retryFirst; ; delay = min(2*delay, c.retryLongest) {
			left, err := c.watchOnce(ctx, req, func(change Change) bool {
				delay = c.retryFirst
				return yield(change, nil)
			})
			if left || ctx.Err() != nil {
				return
			}
			if !errors.Is(err, ErrUnavailable) {
				yield(Change{}, err)
				return
			}
			if !s.pause(ctx, err, delay) {
				return
			}
		}
	}
}

// watchOnce watches until the connection breaks or the caller has left. The token of
// the request is moved behind what was delivered.
func (c *Client) watchOnce(
	ctx context.Context, req *energyv1.WatchAggregatesRequest, deliver func(Change) bool,
) (left bool, err error) {
	for r, err := range responses(ctx, "watch", req, c.query.WatchAggregates) {
		if err != nil {
			return false, err
		}
		if !deliver(changeOf(r)) {
			return true, nil
		}
		if r.GetResumeToken() != "" {
			req.ResumeToken = r.GetResumeToken()
		}
	}
	return false, failed("watch", errEnded)
}

// errEnded is for a server that ends a watch without a word: a watch has no end.
var errEnded = status.Error(codes.Unavailable, "the server ended the watch")

// pause waits until a broken watch is to be tried again; it is not when ctx ends.
func (s *Selection) pause(ctx context.Context, err error, delay time.Duration) bool {
	// Clients that failed together do not come back together.
	wait := delay/2 + rand.N(delay/2+1)
	if s.Retrying != nil {
		s.Retrying(err, wait)
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

func changeOf(r *energyv1.WatchAggregatesResponse) Change {
	change, of := Change{Token: r.GetResumeToken()}, head(r)
	for _, a := range r.GetAggregates() {
		change.Aggregates = append(change.Aggregates, of.window(a))
	}
	return change
}
