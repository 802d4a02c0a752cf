// Package lifecycle runs what is long-lived.
//
// Everything long-lived is a func(ctx) error that blocks until ctx ends or it
// cannot go on, joins what it started, and returns nil after a clean drain.
package lifecycle

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run is something long-lived.
type Run func(ctx context.Context) error

// All runs several things until all have returned. The first error ends the
// context of the others and is returned.
func All(ctx context.Context, runs ...Run) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range runs {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

// Ended turns the error of work that was asked to stop, and says so, into nil.
func Ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// Drain returns a context for finishing work in flight: it ends a grace period
// after ctx does. Cancel must be called.
func Drain(ctx context.Context, grace time.Duration) (work context.Context, cancel context.CancelFunc) {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			end()
		case <-work.Done():
		}
	})
	return work, func() { stop(); end() }
}
