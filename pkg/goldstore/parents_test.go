package goldstore

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// interval is a series that is not Paired.
var interval = reading.Series{EntityID: "meter-1", Metric: "active_energy", Unit: "kWh"}

const emptyAll = empty + `, gold.days, gold.changed_days, gold.generations`

// drawDays draws versions of a few series, in a few hours of three days that
// lie on both sides of a quarter's end.
func drawDays(t *rapid.T) []judged {
	one := rapid.Custom(func(t *rapid.T) judged {
		j := judged{
			series: rapid.SampledFrom([]reading.Series{
				interval,
				{EntityID: "meter-1", Metric: "voltage", Unit: "V"},
				register,
				{EntityID: "meter-2", Metric: "undeclared", Unit: "furlong"},
			}).Draw(t, "series"),
			version: goldtest.Version(2*time.Hour).Draw(t, "version"),
		}
		j.version.Time += int64(24*time.Hour)*rapid.Int64Range(1, 3).Draw(t, "day") +
			int64(time.Hour)*rapid.SampledFrom([]int64{0, 13, 22}).Draw(t, "hour")
		return j
	})
	return rapid.SliceOfN(one, 1, 60).Draw(t, "judged")
}

// rollAll rolls until nothing is due.
func rollAll(ctx context.Context, r *Roller) error {
	for {
		if done, err := r.Roll(ctx); err != nil || done.Due == 0 {
			return err
		}
	}
}

// Whatever late writes two writers make while two rollers are at work, each parent that is
// not stale is the fold of its base rows, in every snapshot, and in the end there is one
// for each hour and day (invariant 13).
func TestParents(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		mustExec(t, s, emptyAll)
		all := drawDays(t)
		config := RollerConfig{Days: rapid.IntRange(1, 10).Draw(t, "days a roll")}
		writing, written := context.WithCancel(t.Context())
		defer written()
		var company sync.WaitGroup
		for range 2 {
			r := s.NewRoller(0, c, config)
			company.Go(func() {
				for writing.Err() == nil {
					if err := rollAll(t.Context(), r); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		company.Go(func() {
			for writing.Err() == nil {
				if _, err := checkParents(t.Context(), s, c); err != nil {
					t.Error(err)
					return
				}
			}
		})
		deliverConcurrently(t, s, c, all)
		written()
		company.Wait()

		if err := rollAll(t.Context(), s.NewRoller(0, c, config)); err != nil {
			t.Fatal(err)
		}
		missing, err := checkParents(t.Context(), s, c)
		if err != nil || missing != 0 {
			t.Fatalf("%d days are without parents, %v", missing, err)
		}
		var marked int
		if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM gold.changed_days").Scan(&marked); err != nil || marked != 0 {
			t.Fatalf("%d days are left, %v", marked, err)
		}
	})
}

// checkParents compares, in one snapshot, the parents that are not stale with a
// fold of the base rows, and counts the days without.
func checkParents(ctx context.Context, s *Store, c *catalog.Catalog) (missing int, err error) {
	err = s.Read(ctx, func(tx *ReadTx) error {
		series, err := tx.Series(ctx, Selector{})
		if err != nil {
			return err
		}
		for _, one := range series {
			n, err := checkParentsOf(ctx, tx, one, c.Metric(one.Series))
			missing += n
			if err != nil {
				return fmt.Errorf("%s: %w", one.Series, err)
			}
		}
		return nil
	})
	return missing, err
}

func checkParentsOf(ctx context.Context, tx *ReadTx, one Series, m *catalog.Metric) (missing int, err error) {
	wantHours, wantDays, err := foldNaively(ctx, tx, one.ID, m)
	if err != nil {
		return 0, err
	}
	const far = int64(1000 * time.Hour)
	all := Ask{Series: Series{ID: one.ID}, Metric: m, From: sunday - far, To: sunday + far}
	days, stored, err := foldsOf(ctx, tx, &all)
	if err != nil {
		return 0, err
	}
	holds := map[int64]bool{}
	for _, d := range days {
		holds[d.Start] = true
		if diff := cmp.Diff(bits(wantDays[d.Start]), bits(d)); diff != "" {
			return 0, fmt.Errorf("day (-want +got):\n%s", diff)
		}
	}
	gotHours := map[int64]gold.Stored{}
	for _, h := range stored {
		gotHours[h.Start] = h
	}
	for _, start := range slices.Sorted(maps.Keys(wantHours)) {
		if !holds[gold.WindowStart(start, gold.DaySpan)] {
			delete(gotHours, start)
			continue
		}
		if diff := cmp.Diff(bits(wantHours[start]), bits(gotHours[start])); diff != "" {
			return 0, fmt.Errorf("hour (-want +got):\n%s", diff)
		}
		delete(gotHours, start)
	}
	if len(gotHours) != 0 {
		return 0, fmt.Errorf("%d hours without rows", len(gotHours))
	}
	return len(wantDays) - len(days), nil
}

// foldsOf reads the days that hold, and their hours.
func foldsOf(ctx context.Context, tx *ReadTx, a *Ask) (days, hours []gold.Stored, err error) {
	arguments := []any{
		[]int64{a.Series.ID}, []int64{gold.FoldKey(a.Metric)}, []time.Time{timestamp(a.From)}, []time.Time{timestamp(a.To)},
		[]bool{true},
	}
	err = tx.each(ctx, selectFolds, arguments, func(f *fields) error {
		_, _ = f.int8(), f.nanos()
		for _, to := range []struct {
			folds *[]gold.Stored
			width time.Duration
		}{{&days, gold.DaySpan}, {&hours, gold.HourSpan}} {
			err := gold.NewFoldReader().Read(f.bytes(), to.width, func(s *gold.Stored) error {
				*to.folds = append(*to.folds, *s)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return f.err()
	})
	return days, hours, err
}

// bits is a piece with floats as their bits, so that only equal bits compare
// equal.
func bits(p gold.Stored) string {
	s := &p.Stats
	floats := ""
	for _, x := range []float64{
		s.Sum, s.Min, s.Max, s.First, s.Last, s.SquaredDeviations, s.Energy, s.Advance,
		s.EstimatedEnergy, s.CorrectedEnergy, p.Peak,
	} {
		floats += fmt.Sprintf("%x ", math.Float64bits(x))
	}
	return fmt.Sprintf("%s%+v", floats, p)
}

// foldNaively spreads all base rows at once, by their versions, and folds the
// pieces into hours and days by maps. Days without rows have no parents.
func foldNaively(
	ctx context.Context, tx *ReadTx, id int64, m *catalog.Metric,
) (hours, days map[int64]gold.Stored, err error) {
	hours, days = map[int64]gold.Stored{}, map[int64]gold.Stored{}
	own := map[int64]bool{}
	versions := map[RowKey][]gold.Version{}
	err = tx.VersionRows(ctx, []Span{allOf(id)}, func(_ int, r *VersionsRow) error {
		versions[r.RowKey] = r.Versions
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	const day = 24 * time.Hour
	from, to := sunday-int64(100*day), sunday+int64(100*day)
	spread := gold.NewSpread(m, gold.Windows{}, from, to, func(p *gold.Stored) error {
		addNaively(m, hours, p.Start/int64(time.Hour)*int64(time.Hour), time.Hour, *p)
		return nil
	})
	err = tx.Rows(ctx, []int64{id}, math.MinInt64, math.MaxInt64, func(r *StatsRow) error {
		own[r.Start/int64(day)*int64(day)] = true
		row := gold.Stored{Start: r.Start, Width: r.Width, Summary: gold.Summarize(m, r.Start, r.Width, r.Stats)}
		row.Standing, row.Revision, row.Changed = r.Standing, r.Revision, r.ChangedAt
		return spread.Add(&row, versions[r.RowKey])
	})
	if err != nil {
		return nil, nil, err
	}
	if err := spread.Finish(); err != nil {
		return nil, nil, err
	}
	for _, start := range slices.Sorted(maps.Keys(hours)) {
		if d := start / int64(day) * int64(day); own[d] {
			addNaively(m, days, d, day, hours[start])
		} else {
			delete(hours, start)
		}
	}
	return hours, days, err
}

// addNaively folds as gold.Summary.Append does: that this is right the tests of
// package gold show.
func addNaively(m *catalog.Metric, into map[int64]gold.Stored, start int64, width time.Duration, part gold.Stored) {
	p := into[start]
	p.Start, p.Width = start, width
	p.Append(m, &part.Summary)
	into[start] = p
}

// A late write sets the parents of its day stale, whatever the writer remembers, and of
// the day that its reading reaches into or did, and no other (invariant 13).
func TestLateWrites(t *testing.T) {
	t.Parallel()
	const (
		stale = "SELECT count(*) FROM gold.days WHERE stale"
		days  = "SELECT count(*) FROM gold.days"
		marks = "SELECT count(*) FROM gold.changed_days"
	)
	s, c := open(t), defaultCatalog(t, 1)
	writers := [...]*Writer{s.NewWriter(0, c, WriterConfig{}), s.NewWriter(0, c, WriterConfig{})}
	roller := s.NewRoller(0, c, RollerConfig{})
	expect := func(when string, wantDays, wantStale, wantMarks int64) {
		t.Helper()
		got := [...]int64{number(t, s, days), number(t, s, stale), number(t, s, marks)}
		if want := [...]int64{wantDays, wantStale, wantMarks}; got != want {
			t.Errorf("%s: %d days, stale, marked, want %d", when, got, want)
		}
	}
	write := func(w *Writer, at time.Duration, sequence uint64) {
		t.Helper()
		flush(t, w, Flush{Groups: groups(c, interval, version(at, float64(sequence), sequence))})
	}
	roll := func() {
		t.Helper()
		if err := rollAll(t.Context(), roller); err != nil {
			t.Fatal(err)
		}
	}
	write(writers[0], 0, 1)
	write(writers[1], 25*time.Hour, 2)
	expect("after two writes", 0, 0, 2)
	roll()
	expect("after a roll", 2, 0, 0)
	write(writers[0], time.Hour, 3)
	expect("after a late write", 2, 1, 1)
	write(writers[1], 2*time.Hour, 4)
	expect("after another", 2, 1, 1)
	write(writers[0], time.Hour, 3)
	expect("after a duplicate", 2, 1, 1)
	roll()
	expect("after the second roll", 2, 0, 0)
	write(writers[0], time.Hour, 3)
	expect("after a duplicate of what was rolled", 2, 0, 0)
	write(writers[1], 3*time.Hour, 5)
	expect("after a late write by the other", 2, 1, 1)
	roll()
	reaching := func(length time.Duration, sequence uint64) {
		t.Helper()
		v := version(23*time.Hour, 1, sequence)
		v.Length, v.Revision = length, sequence
		flush(t, writers[0], Flush{Groups: groups(c, interval, v)})
	}
	reaching(2*time.Hour, 6)
	expect("after a reading that reaches into the next day", 2, 2, 2)
	roll()
	expect("after the third roll", 2, 0, 0)
	reaching(30*time.Minute, 7)
	expect("after a correction that reaches there no more", 2, 2, 2)
}

// A build that writes folds otherwise has all days folded anew.
func TestDaysOfAnotherFormatAreFoldedAnew(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 1)
	const partitions = 4
	for p := range uint32(partitions) {
		exec(t, s, fmt.Sprintf("INSERT INTO gold.positions (stage, partition) VALUES ('gold', %d)", p))
	}
	names := []string{"a", "b", "c", "meter-1", "Zähler"}
	for _, name := range names {
		one := reading.Series{EntityID: name, Metric: interval.Metric, Unit: interval.Unit}
		p := reading.Partition(name, partitions)
		flush(t, s.NewWriter(p, c, WriterConfig{}), Flush{Groups: groups(c, one, version(0, 1, 1))})
	}
	roll := func() (written int) {
		for p := range uint32(partitions) {
			got, err := s.NewRoller(p, c, RollerConfig{}).Roll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			written += got.Written
		}
		return written
	}
	if n := roll(); n != len(names) {
		t.Fatalf("%d days were folded, want %d", n, len(names))
	}
	exec(t, s, "UPDATE gold.days SET fold_key = 0, day = '', hours = ''")
	sql, err := migrationFiles.ReadFile("migrations/0020_fold_format.sql")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, s, string(sql))
	if n := roll(); n != len(names) {
		t.Errorf("%d days were folded anew, want %d", n, len(names))
	}
	if n := number(t, s, "SELECT count(*) FROM gold.days WHERE fold_key = 0 OR day = ''"); n != 0 {
		t.Errorf("%d days are as they were", n)
	}
}

func TestRoller(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	t.Run("LeavesADayThatIsNotQuiet", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w, roller := s.NewWriter(0, c, WriterConfig{}), s.NewRoller(0, c, RollerConfig{Quiet: time.Hour})
		flush(t, w, Flush{Groups: groups(c, interval, version(0, 1, 1))})
		if got, err := roller.Roll(t.Context()); err != nil || got.Due != 0 {
			t.Errorf("just changed: %+v, %v", got, err)
		}
		exec(t, s, "UPDATE gold.changed_days SET touched_at = now() - interval '2 hours'")
		if got, err := roller.Roll(t.Context()); err != nil || got.Due != 1 || got.Written != 0 {
			t.Errorf("marked long ago, changed since: %+v, %v", got, err)
		}
		if got, err := roller.Roll(t.Context()); err != nil || got.Due != 0 {
			t.Errorf("put off: %+v, %v", got, err)
		}
		exec(t, s, "UPDATE gold.changed_days SET touched_at = now() - interval '2 hours'")
		exec(t, s, "UPDATE gold.base SET changed_at = now() - interval '2 hours'")
		if got, err := roller.Roll(t.Context()); err != nil || got.Written != 1 {
			t.Errorf("quiet: %+v, %v", got, err)
		}
	})
	t.Run("LeavesADayThatIsNotOver", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		now := version(0, 1, 1)
		now.Time = time.Now().UnixNano()
		flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, interval, now)})
		if got, err := s.NewRoller(0, c, RollerConfig{}).Roll(t.Context()); err != nil || got.Due != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("KeepsToItsPartition", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		flush(t, s.NewWriter(1, c, WriterConfig{}), Flush{Groups: groups(c, interval, version(0, 1, 1))})
		if got, err := s.NewRoller(0, c, RollerConfig{}).Roll(t.Context()); err != nil || got.Due != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("IsAWriterByRole", func(t *testing.T) {
		t.Parallel()
		s := openURL(t, asRole(t, database(t), "gold_writer"), Config{})
		flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, interval, version(0, 1, 1))})
		if got, err := s.NewRoller(0, c, RollerConfig{}).Roll(t.Context()); err != nil || got.Written != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
