package broker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Backoff is an exponential backoff with jitter. Its zero value starts at
// 100 ms and stops growing at 10 s. It is not safe for concurrent use.
type Backoff struct {
	Min time.Duration // first delay; 0 is 100 ms
	Max time.Duration // greatest delay; 0 is 10 s

	attempt int
}

// Next returns the delay before the next attempt: uniformly between half and
// the whole of Min·2ⁿ, capped at Max, so that clients that failed together do
// not come back together.
func (b *Backoff) Next() time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = 100 * time.Millisecond
	}
	if hi <= 0 {
		hi = 10 * time.Second
	}
	d := hi
	if b.attempt < 32 && lo<<b.attempt > 0 && lo<<b.attempt < hi {
		d = lo << b.attempt
		b.attempt++
	}
	return d/2 + rand.N(d/2+1)
}

// Wait sleeps for [Backoff.Next]. It returns ctx's error as soon as ctx ends.
func (b *Backoff) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Reset starts again at Min. Call it after a success.
func (b *Backoff) Reset() { b.attempt = 0 }

// Retry calls what until it succeeds, fails with an error that is not retryable,
// or ctx ends; between calls it waits. Told hears how it goes: each retryable
// error, and nil at the end.
func (b *Backoff) Retry(
	ctx context.Context, retryable func(error) bool, told func(error), what func() error,
) error {
	for {
		err := what()
		if err == nil {
			told(nil)
			return nil
		}
		if !retryable(err) {
			return err
		}
		told(err)
		if ended := b.Wait(ctx); ended != nil {
			return errors.Join(err, ended)
		}
	}
}
