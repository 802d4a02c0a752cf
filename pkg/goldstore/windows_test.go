package goldstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

var intervalOf = reading.Series{EntityID: "e", Metric: "site_energy", Unit: "kWh"}

// windowed returns two epochs that say other windows of a metric, 15 and 5 minutes.
func windowed(t *testing.T) (early, late *catalog.Catalog) {
	t.Helper()
	var epochs catalog.Epochs
	for n, window := range []string{"15m", "5m"} {
		var err error
		epochs, err = epochs.Append(timestamp(sunday+int64(n)), fmt.Appendf(nil,
			"units: {kWh: {dimension: energy}}\nmetrics: {site_energy: {kind: interval, unit: kWh, length: 5m, window: %s}}", window))
		if err != nil {
			t.Fatal(err)
		}
	}
	early, _ = epochs.At(1)
	return early, epochs.Newest()
}

// The same reading in rows of two widths would count twice (invariants 2 and 3).
func TestWindowsOfAMetric(t *testing.T) {
	t.Parallel()
	early, late := windowed(t)
	seven := version(5*time.Minute, 7, 1)
	energy := func(t *testing.T, s *Store) {
		t.Helper()
		if n := number(t, s, "SELECT sum(energy)::bigint FROM gold.base"); n != 7 {
			t.Errorf("energy %d", n)
		}
	}

	t.Run("AreThoseOfItsFirstRow", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w := s.NewWriter(0, early, WriterConfig{})
		flush(t, w, Flush{Groups: groups(early, intervalOf, seven)})
		for name, other := range map[string]*Writer{
			"the same writer": w, "one that remembers nothing": s.NewWriter(0, late, WriterConfig{}),
		} {
			other.SetCatalog(late)
			again := groups(late, intervalOf, seven)
			_, err := other.Flush(t.Context(), Flush{Groups: again})
			if !errors.Is(err, ErrOtherWindow) || IsRowFault(err) {
				t.Errorf("%s: %v", name, err)
			}
			again[0].Versions = nil // computed anew, if it were there
			if got := flush(t, other, Flush{Groups: again}); got.Unchanged != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		energy(t, s)
	})

	// Of two writers at once the second waits for the first one's commit.
	t.Run("AreOneUnderConcurrentWriters", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		failed := make(chan error, 2)
		for n, c := range []*catalog.Catalog{early, late} {
			go func() {
				_, err := s.NewWriter(uint32(n), c, WriterConfig{}).Flush(t.Context(), Flush{Groups: groups(c, intervalOf, seven)})
				failed <- err
			}()
		}
		first, second := <-failed, <-failed
		if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), ErrOtherWindow) {
			t.Errorf("%v, %v", first, second)
		}
		energy(t, s)
	})

	t.Run("ChangeWhileNothingIsWritten", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w := s.NewWriter(1, early, WriterConfig{})
		rewindow := func(change func(map[string]time.Duration) error) error {
			return s.Rewindow(t.Context(), 4, late.Epoch(), []string{intervalOf.Metric}, change)
		}
		flushed := make(chan error, 1)
		err := rewindow(func(stored map[string]time.Duration) error {
			if len(stored) != 0 {
				t.Errorf("stored: %v", stored)
			}
			go func() {
				_, err := w.Flush(t.Context(), Flush{Groups: groups(early, intervalOf, seven)})
				flushed <- err
			}()
			// The flush waits for the lock before this returns.
			awaitWaiting(t, s)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-flushed; !errors.Is(err, ErrCatalogBehind) {
			t.Errorf("a flush meanwhile: %v", err)
		}
		w.SetCatalog(late)
		flush(t, w, Flush{Groups: groups(late, intervalOf, seven)})
		energy(t, s)

		refused := errors.New("refused")
		err = rewindow(func(stored map[string]time.Duration) error {
			if stored[intervalOf.Metric] != 5*time.Minute {
				t.Errorf("stored: %v", stored)
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Errorf("a refused change: %v", err)
		}
	})
}

// awaitWaiting returns once a session waits for a partition's lock.
func awaitWaiting(t *testing.T, s *Store) {
	t.Helper()
	const waiting = `SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	for number(t, s, waiting) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nobody waits for the lock")
		}
	}
}
