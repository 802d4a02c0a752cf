package goldstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

const (
	week = 7 * 24 * time.Hour
	// The Unix epoch was a Thursday: Mondays are whole weeks from 4 days on.
	firstMonday = 4 * 24 * time.Hour
)

// monday returns the start of the ISO week, in UTC, that holds t; Unix ns.
func monday(t int64) int64 {
	return gold.WindowStart(t-int64(firstMonday), week) + int64(firstMonday)
}

const ensureWeek = `SELECT gold.ensure_week($1::timestamptz)`

// EnsureWeeks makes the partitions of gold.base that hold rows with those
// starts, in Unix ns, where they are missing. Each is made in a transaction of
// its own, so that the locks of many do not add up. Partitions once seen are not
// looked for again.
func (s *Store) EnsureWeeks(ctx context.Context, starts []int64) error {
	for _, m := range s.unseenWeeks(starts) {
		start := time.Unix(0, m).UTC()
		if _, err := s.pool.Exec(ctx, ensureWeek, start); err != nil {
			return fmt.Errorf("make the week of %s: %w", start.Format(time.DateOnly), missingTable(err))
		}
		s.mu.Lock()
		s.weeks[m] = struct{}{}
		s.mu.Unlock()
	}
	return nil
}

// unseenWeeks returns the weeks of starts that are not known to exist, in
// order.
func (s *Store) unseenWeeks(starts []int64) (missing []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, start := range starts {
		m := monday(start)
		if _, ok := s.weeks[m]; !ok {
			missing = append(missing, m)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// forgetWeeks makes EnsureWeeks look again, for when a partition was dropped.
func (s *Store) forgetWeeks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.weeks)
}
