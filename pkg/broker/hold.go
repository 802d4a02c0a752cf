package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// holdKeys begins the keys of holds among the positions.
const holdKeys = "hold-"

// holdTTL is how long a hold lasts that nobody renews.
const holdTTL = 10 * time.Minute

// ErrRemoved says that a stream holds no more what was to be kept.
var ErrRemoved = errors.New("the beginning of what was to be read is gone")

// Hold is a reader that is no stage of the pipeline, such as a batch run: while it
// reads, the janitor is to keep what it has still to read.
type Hold struct {
	// Reader names it, of the letters that keys may have. A reader that is taken up
	// again has the name that it had.
	Reader string
	// Behind is what is kept: what a stream stores behind Sequence. Stream and Created
	// say of which; of several of one stream the lowest counts.
	Behind []Position
	// TTL is how long a reader that has died is still waited for; 0 is ten minutes.
	TTL time.Duration
	// Again reports whether a reader that failed with an error may be taken up again;
	// nil: after every error.
	Again func(error) bool
}

// Holding runs what, and keeps the janitor meanwhile from removing anything behind
// the positions of a hold (invariant 19). It returns [ErrStreamRecreated] or
// [ErrRemoved] instead of nil when the streams are others, or hold no more what was
// to be kept: from before the call, or since the hold had not been renewed for so
// long, by a process that stood still, that its reader was taken for dead.
//
// What is kept takes room: streams that become full refuse. So a hold ends when what
// succeeds, or its reader cannot be taken up again; else a TTL after it was last renewed.
func (p *Positions) Holding(ctx context.Context, h Hold, what func(context.Context) error) error {
	h.TTL = cmp.Or(h.TTL, holdTTL)
	held := h.keys()
	if err := p.dropExpired(ctx); err != nil {
		return fmt.Errorf("hold for %s: %w", h.Reader, err)
	}
	if err := p.renew(ctx, held, h.TTL); err != nil {
		return fmt.Errorf("hold for %s: %w", h.Reader, err)
	}
	err := p.stillHeld(ctx, &h)
	if err == nil {
		err = p.renewing(ctx, held, h.TTL, what)
	}
	if err == nil {
		err = p.stillHeld(ctx, &h)
	}
	if err != nil && h.again(err) {
		return err
	}
	return errors.Join(err, p.LetGo(ctx, h))
}

// LetGo ends a hold of a reader that is not to be taken up again.
func (p *Positions) LetGo(ctx context.Context, h Hold) error {
	for key := range h.keys() {
		if err := p.retry(ctx, func() error { return p.kv.Delete(ctx, key) }); err != nil {
			return fmt.Errorf("hold for %s: drop %s: %w", h.Reader, key, err)
		}
	}
	return nil
}

// again reports whether the reader may be taken up again: not when what it was to read
// is gone.
func (h *Hold) again(err error) bool {
	return !errors.Is(err, ErrRemoved) && !errors.Is(err, ErrStreamRecreated) && (h.Again == nil || h.Again(err))
}

// keys returns the positions of a hold by key, one a stream.
func (h *Hold) keys() map[string]Position {
	held := make(map[string]Position)
	for _, at := range h.Behind {
		key := holdKeys + h.Reader + "." + at.Stream
		if other, there := held[key]; there && other.Sequence <= at.Sequence {
			continue
		}
		held[key] = Position{Stream: at.Stream, Created: at.Created, Sequence: at.Sequence}
	}
	return held
}

// renewing runs what, renews the hold meanwhile, and ends what if that fails for good.
func (p *Positions) renewing(
	ctx context.Context, held map[string]Position, ttl time.Duration, what func(context.Context) error,
) error {
	done := make(chan struct{})
	g, working := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(done)
		return what(working)
	})
	g.Go(func() error {
		tick := time.NewTicker(max(ttl/10, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return nil
			case <-working.Done():
				return nil // what says why
			case <-tick.C:
			}
			if err := p.renew(working, held, ttl); err != nil && working.Err() == nil {
				return err
			}
		}
	})
	return g.Wait()
}

// renew stores the hold for another TTL.
func (p *Positions) renew(ctx context.Context, held map[string]Position, ttl time.Duration) error {
	return p.retry(ctx, func() error {
		for _, key := range slices.Sorted(maps.Keys(held)) {
			at := held[key]
			at.Expires = time.Now().Add(ttl).UTC()
			value, err := encodePosition(at)
			if err == nil {
				_, err = p.kv.Put(ctx, key, value)
			}
			if err != nil {
				return fmt.Errorf("store %s: %w", key, err)
			}
		}
		return nil
	})
}

// stillHeld returns an error if a stream is another or begins too late.
func (p *Positions) stillHeld(ctx context.Context, h *Hold) error {
	for _, at := range h.keys() {
		var s StreamStatus
		err := p.retry(ctx, func() (err error) {
			s, err = Stream(ctx, p.js, at.Stream)
			return err
		})
		switch {
		case err != nil:
			return fmt.Errorf("hold for %s: %w", h.Reader, err)
		case !s.Created.Equal(at.Created):
			return fmt.Errorf("hold for %s: %w: %s", h.Reader, ErrStreamRecreated, at.Stream)
		case s.FirstSequence > at.Sequence+1:
			return fmt.Errorf("hold for %s: %w: %s begins at %d, what is behind %d was to be kept",
				h.Reader, ErrRemoved, at.Stream, s.FirstSequence, at.Sequence)
		}
	}
	return nil
}

// dropExpired ends the holds of readers that have died.
func (p *Positions) dropExpired(ctx context.Context) error {
	all, err := p.List(ctx)
	if err != nil {
		return err
	}
	for key, listed := range all {
		if !strings.HasPrefix(key, holdKeys) || !listed.Expired(time.Now()) {
			continue
		}
		at, revision, err := p.Load(ctx, key)
		if err != nil {
			return err
		}
		if revision == 0 || !at.Expired(time.Now()) {
			continue // it is gone, or renewed
		}
		err = p.kv.Delete(ctx, key, jetstream.LastRevision(revision))
		if err != nil && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return fmt.Errorf("drop %s: %w", key, err)
		}
	}
	return nil
}

// retry calls what until it succeeds or fails for good.
func (*Positions) retry(ctx context.Context, what func() error) error {
	return new(Backoff).Retry(ctx, IsRetryable, func(error) {}, what)
}
