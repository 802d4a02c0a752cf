package goldstore

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMonday(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(-1e18, 4e18).Draw(t, "at")
		m := time.Unix(0, monday(at)).UTC()
		if m.Weekday() != time.Monday || !m.Equal(m.Truncate(24*time.Hour)) {
			t.Fatalf("%s is no Monday 00:00", m)
		}
		if d := at - monday(at); d < 0 || d >= int64(week) {
			t.Fatalf("%s is not in the week from %s", time.Unix(0, at).UTC(), m)
		}
	})
}

func TestEnsureWeeks(t *testing.T) {
	t.Parallel()
	const partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'gold.base'::regclass"
	c := defaultCatalog(t, 1)

	t.Run("MakesEachWeekOnceWhateverTheConcurrency", func(t *testing.T) {
		t.Parallel()
		url := database(t)
		stores := []*Store{openURL(t, url, Config{}), openURL(t, url, Config{})}
		starts := make([]int64, 12)
		for i := range starts {
			starts[i] = sunday + int64(i)*int64(week)/2
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := stores[i%2].EnsureWeeks(t.Context(), starts); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := number(t, stores[0], partitions); n != 7 { // Sunday and six weeks begun after it
			t.Errorf("%d partitions", n)
		}
		const shaped = `SELECT count(*) FROM pg_class k JOIN pg_inherits ON inhrelid = k.oid
			WHERE inhparent = 'gold.base'::regclass AND 'fillfactor=70' = ANY (reloptions)
			AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = k.oid AND attname IN ('samples', 'stamps')
				AND attstorage <> 'e')
			AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = k.oid AND contype = 'c')
			AND (SELECT count(*) FROM pg_index WHERE indrelid = k.oid) = 1`
		if n := number(t, stores[0], shaped); n != 7 {
			t.Errorf("%d partitions with fillfactor, storage, one index and no check", n)
		}
	})
	t.Run("RefusesOtherDays", func(t *testing.T) {
		t.Parallel()
		if _, err := open(t).pool.Exec(t.Context(), "SELECT gold.ensure_week('2026-03-29Z')"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("AFlushMakesADroppedWeekAgain", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w := s.NewWriter(0, c, WriterConfig{})
		f := Flush{Groups: groups(c, register, version(0, 1, 1))}
		flush(t, w, f)
		exec(t, s, `DROP TABLE gold."base_2026w13"`)
		w.DropCache()
		if got := flush(t, w, f); got.Inserted != 1 {
			t.Errorf("%+v", got)
		}
	})
}
