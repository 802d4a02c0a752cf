package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Codes of a cluster whose servers do not stand together yet, from the server's list of
// errors (server/errors.json).
var unsettledCodes = []jetstream.ErrorCode{
	10004, // incomplete results
	10005, // no suitable peers for placement
	10008, // JetStream system temporarily unavailable
	10009, // JetStream cluster can not handle request
}

// IsUnsettled reports whether an error is that of a broker whose servers have not agreed
// yet on who leads, as after its start or the loss of one of them, or that does not answer
// in time: the same call may work soon.
func IsUnsettled(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return slices.Contains(unsettledCodes, api.ErrorCode)
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// attempt bounds one call of Settle: a server that lost its cluster does not answer at all.
const attempt = 15 * time.Second

// Settle calls what, again while the broker is unsettled, until ctx ends. Told hears once
// why.
func Settle(ctx context.Context, told func(error), what func(context.Context) error) error {
	var backoff Backoff
	said := false
	return backoff.Retry(ctx, IsUnsettled, func(err error) {
		if err != nil && !said {
			told(err)
			said = true
		}
	}, func() error {
		limited, cancel := context.WithTimeout(ctx, attempt)
		defer cancel()
		return what(limited)
	})
}
