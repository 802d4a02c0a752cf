package goldstore

import (
	"sync"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// Makers of one quarter wait for each other and make it once.
func TestEnsureQuarters(t *testing.T) {
	t.Parallel()
	s := open(t)
	const makers, quarters = 4, 12
	var wg sync.WaitGroup
	errs := make([]error, makers)
	for i := range makers {
		wg.Go(func() {
			for q := range quarters {
				day := time.Date(2020, time.Month(1+3*q), 15, 0, 0, 0, 0, time.UTC)
				due := []dueDay{{seriesDay: seriesDay{day: gold.WindowStart(day.UnixNano(), gold.DaySpan)}}}
				if err := s.ensureQuarters(t.Context(), due); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := number(t, s, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'gold.hours'::regclass`); n != quarters {
		t.Errorf("%d quarters, want %d", n, quarters)
	}
}
