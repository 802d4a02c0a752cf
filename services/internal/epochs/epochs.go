// Package epochs keeps a process at the newest epoch of the metric catalogue.
//
// The epochs stand in the broker. A Follower has those that it has read, in
// order and without a gap, and reads on when the broker tells of another or
// when somebody needs one that it does not have yet. An epoch never changes, so
// that two processes can only differ in how many they know.
package epochs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/lifecycle"
)

// Follower is the epochs that a process knows. It is safe for concurrent use.
type Follower struct {
	store *broker.Epochs
	log   *slog.Logger
	// report tells how following goes, nil for well.
	report func(error)

	reading sync.Mutex // held while epochs are read

	mu      sync.Mutex
	all     catalog.Epochs
	changed chan struct{} // closed when all changes
	history *History      // that was loaded last
	over    uint64        // that connection
}

// Follow reads the epochs that the broker has. A broker without any is
// broker.ErrNotProvisioned. Run keeps the follower up to date.
func Follow(ctx context.Context, store *broker.Epochs, report func(error), log *slog.Logger) (*Follower, error) {
	f := &Follower{store: store, log: log, report: report, changed: make(chan struct{})}
	if err := f.read(ctx); err != nil {
		return nil, err
	}
	if f.All().Len() == 0 {
		return nil, fmt.Errorf("%w: the catalogue has no epoch; run energy migrate", broker.ErrNotProvisioned)
	}
	return f, nil
}

// All returns the epochs known so far.
func (f *Follower) All() catalog.Epochs {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all
}

// Newest returns the newest epoch known.
func (f *Follower) Newest() *catalog.Catalog { return f.All().Newest() }

// Await returns the newest epoch once it is that one or a later. Until then it
// reports what is waited for: whoever names an epoch has read it, so that one
// that does not come is lost, but for the moments that a replica takes.
func (f *Follower) Await(ctx context.Context, number uint64) (*catalog.Catalog, error) {
	var backoff broker.Backoff
	for {
		if c := f.Newest(); c.Epoch() >= number {
			return c, nil
		}
		err := f.read(ctx)
		if err != nil {
			f.report(err)
			if !broker.IsRetryable(err) {
				return nil, err
			}
		}
		if c := f.Newest(); c.Epoch() >= number {
			f.report(nil)
			return c, nil
		}
		if err == nil {
			err = f.missing(number)
			f.report(err)
			f.log.WarnContext(ctx, "catalogue epoch is waited for", "error", err)
		}
		if err := backoff.Wait(ctx); err != nil {
			return nil, fmt.Errorf("await catalogue epoch %d: %w", number, err)
		}
	}
}

// Renew takes in the epochs that the broker has by now, as far as this build understands
// them: others may have acted on one that this process has not been told of yet.
func (f *Follower) Renew(ctx context.Context) error {
	err := f.retry(ctx, func() error { return f.read(ctx) })
	if errors.Is(err, errNotUnderstood) {
		f.report(err)
		return nil
	}
	return err
}

// Known returns the epochs that are known once that one is among them, and what has
// become of them. Where all are applied that changes no more, as long as the connection
// lasts: behind another the broker may be one that was restored from an older copy.
func (f *Follower) Known(ctx context.Context, number uint64) (*History, error) {
	if _, err := f.Await(ctx, number); err != nil {
		return nil, err
	}
	all, kept, over := f.kept()
	if kept.settled() && kept.Epochs.Len() == all.Len() {
		return kept, nil
	}
	h := &History{Epochs: all}
	if err := f.retry(ctx, func() error { return h.load(ctx, f.store, kept) }); err != nil {
		return nil, err
	}
	if h.Applied > all.Len() {
		if err := f.Renew(ctx); err != nil {
			return nil, err
		}
		if newest := f.All().Len(); newest > all.Len() {
			return f.Known(ctx, newest)
		}
	}
	f.keep(h, over)
	return h, nil
}

// retry calls what until it succeeds or fails for good. It reports trouble, and its end,
// and leaves it to others to say that all is well.
func (f *Follower) retry(ctx context.Context, what func() error) error {
	retryable := func(err error) bool { return broker.IsRetryable(err) && !errors.Is(err, errNotUnderstood) }
	troubled := false
	told := func(err error) {
		if err != nil || troubled {
			f.report(err)
		}
		troubled = err != nil
	}
	return new(broker.Backoff).Retry(ctx, retryable, told, what)
}

// kept returns the epochs, what was loaded last of their history over this connection, and
// that connection.
func (f *Follower) kept() (all catalog.Epochs, h *History, over uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, over = new(History), f.store.Connection()
	if f.history != nil && f.over == over {
		h = f.history
	}
	return f.all, h, over
}

func (f *Follower) keep(h *History, over uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.history, f.over = h, over
}

// missing says what mends that the broker does not have an epoch.
func (f *Follower) missing(number uint64) error {
	next := f.All().Len() + 1
	return fmt.Errorf("catalogue epoch %d is needed, and the broker has no epoch %d: nothing is processed until it has; "+
		"restore the bucket %s, or apply the documents that gold.epochs keeps from number %d on, in order, "+
		"with energy catalog apply", number, next, broker.BucketCatalog, next)
}

// Run reads epochs as they are added until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	var backoff broker.Backoff
	for {
		err := f.store.Watch(ctx, func() error {
			err := f.read(ctx)
			if err == nil {
				f.report(nil)
				backoff.Reset()
			}
			return err
		})
		if ctx.Err() != nil {
			return lifecycle.Ended(ctx, errors.Join(err, ctx.Err()))
		}
		f.report(err)
		f.log.WarnContext(ctx, "the catalogue cannot be followed", "error", err)
		if err := backoff.Wait(ctx); err != nil {
			return lifecycle.Ended(ctx, err)
		}
	}
}

var errNotUnderstood = errors.New("this build does not understand catalogue epoch")

// read takes in the epochs behind those that are known.
func (f *Follower) read(ctx context.Context) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	added, err := f.store.After(ctx, f.All().Len())
	for _, e := range added {
		all, parseErr := f.All().Append(e.Activated, e.Document)
		if parseErr != nil {
			return fmt.Errorf("%w %d and stays at the one before; update it: %w", errNotUnderstood, e.Number, parseErr)
		}
		f.log.InfoContext(ctx, "catalogue epoch known", "epoch", e.Number, "hash", all.Newest().Hash(),
			"activated", all.Newest().Activated())
		f.set(all)
	}
	return err
}

func (f *Follower) set(all catalog.Epochs) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = all
	close(f.changed)
	f.changed = make(chan struct{})
}

// Changed returns a channel that is closed once there are more epochs than All
// has given before this call.
func (f *Follower) Changed(known uint64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all.Len() > known {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return f.changed
}

// Ensure makes the first epoch where there is none.
func Ensure(ctx context.Context, store *broker.Epochs, document []byte) error {
	err := store.Add(ctx, 1, document)
	if err != nil && !errors.Is(err, broker.ErrEpochExists) {
		return err
	}
	return store.SetApplied(ctx, 1) // nothing was judged under another
}
