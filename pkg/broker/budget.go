package broker

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"
)

// DefaultBudget is the byte budget of a service.
const DefaultBudget = 64 << 20

// Budget bounds the bytes that a service holds at one time. A request larger
// than the whole budget counts as the whole: it waits until everything else has
// been released and then goes through alone. Safe for concurrent use.
//
// Whoever holds bytes must not wait for more from the same Budget, or two such
// holders wait for each other. That is why a [Publisher] has a bound of its own.
type Budget struct {
	sem  *semaphore.Weighted
	size int64
}

// NewBudget returns a budget of size bytes; size ≤ 0 is [DefaultBudget].
func NewBudget(size int64) *Budget {
	if size <= 0 {
		size = DefaultBudget
	}
	return &Budget{sem: semaphore.NewWeighted(size), size: size}
}

// Size is the whole budget in bytes.
func (b *Budget) Size() int64 { return b.size }

// Acquire waits until n bytes are free. Its only error is that of ctx.
func (b *Budget) Acquire(ctx context.Context, n int) error {
	if err := b.sem.Acquire(ctx, b.clamp(n)); err != nil {
		return fmt.Errorf("acquire %d bytes of budget: %w", n, err)
	}
	return nil
}

// TryAcquire takes n bytes if they are free and nobody waits.
func (b *Budget) TryAcquire(n int) bool { return b.sem.TryAcquire(b.clamp(n)) }

// Release gives n bytes back. Several acquisitions may be released as one sum.
func (b *Budget) Release(n int) { b.sem.Release(b.clamp(n)) }

func (b *Budget) clamp(n int) int64 { return min(max(int64(n), 0), b.size) }
