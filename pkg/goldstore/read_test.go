package goldstore

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// library is a store with four series: rows of the first on both sides of a
// week's end, one in each of the others, withdrawn in the third.
func library(t *testing.T) *Store {
	t.Helper()
	s, c := open(t), defaultCatalog(t, 1)
	w := s.NewWriter(0, c, WriterConfig{})
	var f Flush
	for _, name := range []string{"B", "a", "z", "ä"} { // in byte order
		r := reading.Series{EntityID: name, Metric: register.Metric, Unit: register.Unit}
		v := version(24*time.Hour, 5, 4)
		if name == "z" {
			v.Quality = reading.Withdrawn
		}
		versions := []gold.Version{v}
		if name == "B" {
			versions = append(versions, version(time.Minute, 1, 1), version(14*time.Minute, 2, 2),
				version(time.Hour, 3, 3), version(24*time.Hour+time.Minute, 6, 4))
		}
		f.Groups = append(f.Groups, groups(c, r, versions...)...)
	}
	flush(t, w, f)
	return s
}

// allOf is all time of a series.
func allOf(id int64) Span { return Span{id, math.MinInt64, math.MaxInt64} }

func read(t *testing.T, s *Store, fn func(*ReadTx)) {
	t.Helper()
	if err := s.Read(t.Context(), func(tx *ReadTx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// seriesIDs returns the ids of all series in their order.
func seriesIDs(t *testing.T, tx *ReadTx) []int64 {
	t.Helper()
	series, err := tx.Series(t.Context(), Selector{})
	if err != nil {
		t.Fatal(err)
	}
	return column(series, func(s *Series) int64 { return s.ID })
}

func TestReadTx(t *testing.T) {
	t.Parallel()
	s := library(t)

	t.Run("SeriesAreInByteOrder", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			selector Selector
			want     []string
		}{
			{Selector{}, []string{"B", "a", "z", "ä"}},
			{Selector{Entities: []string{"ä", "B", "nobody"}}, []string{"B", "ä"}},
			{Selector{Metrics: []string{register.Metric}, Entities: []string{"a"}}, []string{"a"}},
			{Selector{Metrics: []string{"nothing"}}, nil},
		} {
			read(t, s, func(tx *ReadTx) {
				series, err := tx.Series(t.Context(), tt.selector)
				if err != nil {
					t.Fatal(err)
				}
				got := column(series, func(s *Series) string { return s.EntityID })
				if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%+v: %s", tt.selector, diff)
				}
			})
		}
	})
	t.Run("PagesJoinToTheListOfWhatIsSearchedFor", func(t *testing.T) {
		t.Parallel()
		after := func(entity string) reading.Series {
			return reading.Series{EntityID: entity, Metric: register.Metric, Unit: register.Unit}
		}
		for _, tt := range []struct {
			page Page
			want []string
		}{
			{Page{Limit: 2}, []string{"B", "a"}},
			{Page{After: after("a"), Limit: 2}, []string{"z", "ä"}},
			{Page{After: after("b")}, []string{"z", "ä"}}, // behind one that does not exist
			{Page{After: reading.Series{EntityID: "z"}}, []string{"z", "ä"}},
			{Page{After: after("ä")}, nil},
			{Page{Contains: []string{"b", "KWH"}}, []string{"B"}}, // in any case
			{Page{Contains: []string{"ä"}}, []string{"ä"}},
			{Page{Contains: []string{"energy"}, After: after("B"), Limit: 1}, []string{"a"}},
			{Page{Contains: []string{"Ba"}}, nil}, // not across two names
			{Page{Contains: []string{"%"}}, nil},  // no pattern
			{Page{Contains: []string{`\`}}, nil},
			{Page{Contains: []string{"active_e", "Ä"}}, nil}, // whose case is not known
			{Page{Contains: []string{"a_tive"}}, nil},
		} {
			read(t, s, func(tx *ReadTx) {
				series, err := tx.SeriesPage(t.Context(), Selector{}, tt.page)
				if err != nil {
					t.Fatal(err)
				}
				got := column(series, func(s *Series) string { return s.EntityID })
				if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%+v: %s", tt.page, diff)
				}
			})
		}
	})
	t.Run("BoundsLeaveOutWhatDoesNotCount", func(t *testing.T) {
		t.Parallel()
		read(t, s, func(tx *ReadTx) {
			ids := seriesIDs(t, tx)
			series, err := tx.Series(t.Context(), Selector{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := tx.Bounds(t.Context(), series)
			if err != nil {
				t.Fatal(err)
			}
			day := int64(24 * time.Hour)
			want := map[int64]Bounds{
				ids[0]: {sunday, sunday + day, sunday + int64(time.Minute), sunday + day + int64(time.Minute), 0,
					timeSpan{sunday, sunday + day}},
				ids[1]: {sunday + day, sunday + day, sunday + day, sunday + day, 0, timeSpan{sunday + day, sunday + day}},
				ids[3]: {sunday + day, sunday + day, sunday + day, sunday + day, 0, timeSpan{sunday + day, sunday + day}},
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Bounds{}, timeSpan{})); diff != "" {
				t.Error(diff)
			}
		})
	})
	t.Run("RowsComeInTheOrderOfTheIdsAndOverlapTheSpan", func(t *testing.T) {
		t.Parallel()
		type found struct {
			ID    int64
			Start time.Duration
			Count uint64
		}
		read(t, s, func(tx *ReadTx) {
			ids := seriesIDs(t, tx)
			ids[0], ids[1] = ids[1], ids[0]
			const quarter, day = 15 * time.Minute, 24 * time.Hour
			rows := []found{
				{ids[0], day, 1},
				{ids[1], 0, 2},
				{ids[1], time.Hour, 1},
				{ids[1], day, 2},
				{ids[2], day, 0},
				{ids[3], day, 1},
			}
			for _, tt := range []struct {
				name     string
				from, to int64
				want     []found
			}{
				{"all", math.MinInt64, math.MaxInt64, rows},
				{"cut inside rows", sunday + 1, sunday + int64(time.Hour) + 1, rows[1:3]},
				{"bounds touch rows", sunday + int64(quarter), sunday + int64(time.Hour), nil},
				{"none", sunday, sunday, nil},
			} {
				var got []found
				err := tx.Rows(t.Context(), ids, tt.from, tt.to, func(r *StatsRow) error {
					got = append(got, found{r.SeriesID, time.Duration(r.Start - sunday), r.Stats.Count})
					if r.Width != quarter || r.Revision != 1 || r.Epoch != 1 || time.Since(r.ChangedAt) > time.Hour {
						t.Errorf("%+v", r)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s: %s", tt.name, diff)
				}
			}
		})
	})
	t.Run("RowsCarryTheStatisticsThatWereWritten", func(t *testing.T) {
		t.Parallel()
		c := defaultCatalog(t, 1)
		read(t, s, func(tx *ReadTx) {
			id := seriesIDs(t, tx)[0]
			err := tx.Rows(t.Context(), []int64{id}, sunday, sunday+1, func(r *StatsRow) error {
				versions := []gold.Version{version(time.Minute, 1, 1), version(14*time.Minute, 2, 2)}
				want := gold.NewRow(c, gold.Key{Series: register}, versions).Stats
				if diff := cmp.Diff(want, r.Stats); diff != "" {
					t.Error(diff)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("NeighboursAreTheNearestRowsWithReadings", func(t *testing.T) {
		t.Parallel()
		const none = time.Duration(math.MinInt64)
		read(t, s, func(tx *ReadTx) {
			series, err := tx.Series(t.Context(), Selector{})
			if err != nil {
				t.Fatal(err)
			}
			tests := []struct {
				series       *Series
				at           time.Duration
				before, from time.Duration
			}{
				{&series[0], 0, none, 0},
				{&series[0], time.Hour, 0, time.Hour},
				{&series[0], time.Hour + time.Minute, time.Hour, 24 * time.Hour},
				{&series[2], 25 * time.Hour, none, none}, // withdrawn
				{&series[0], 25 * time.Hour, 24 * time.Hour, none},
			}
			places := make([]Place, len(tests))
			for i, tt := range tests {
				places[i] = Place{tt.series, sunday + int64(tt.at)}
			}
			got := func(find func(context.Context, []Place) ([]*Neighbour, error)) []time.Duration {
				rows, err := find(t.Context(), places)
				if err != nil {
					t.Fatal(err)
				}
				starts := make([]time.Duration, len(rows))
				for i, r := range rows {
					if starts[i] = none; r == nil {
						continue
					}
					starts[i] = time.Duration(r.Start - sunday)
					if r.SeriesID != tests[i].series.ID || r.Stats.Count == 0 || r.Revision != 1 {
						t.Errorf("%+v", r)
					}
				}
				return starts
			}
			before, from := got(tx.LastBefore), got(tx.FirstFrom)
			for i, tt := range tests {
				if before[i] != tt.before || from[i] != tt.from {
					t.Errorf("around %s are %s and %s, want %s and %s", tt.at, before[i], from[i], tt.before, tt.from)
				}
			}
		})
	})
	t.Run("VersionsComeInTheOrderOfTheSpansAndOfTime", func(t *testing.T) {
		t.Parallel()
		read(t, s, func(tx *ReadTx) {
			ids := seriesIDs(t, tx)
			const quarter, hour, day = int64(15 * time.Minute), int64(time.Hour), int64(24 * time.Hour)
			spans := []Span{
				{ids[1], sunday, sunday + 2*day},
				{ids[0], sunday + 1, sunday + hour + 1},   // cut inside rows
				{ids[0], sunday + quarter, sunday + hour}, // between rows
				allOf(ids[0]),
			}
			type row struct {
				span  int
				start time.Duration
				n     int
			}
			var got []row
			err := tx.VersionRows(t.Context(), spans, func(i int, r *VersionsRow) error {
				if r.SeriesID != spans[i].ID {
					t.Errorf("span %d: %+v", i, r.RowKey)
				}
				got = append(got, row{i, time.Duration(r.Start - sunday), len(r.Versions)})
				return nil
			})
			want := []row{
				{0, 24 * time.Hour, 1}, {1, 0, 2}, {1, time.Hour, 1}, {3, 0, 2}, {3, time.Hour, 1}, {3, 24 * time.Hour, 2},
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v, want %v: %v", got, want, err)
			}
		})
	})
	t.Run("VersionsNearPlacesComeInTheOrderOfTheirDistance", func(t *testing.T) {
		t.Parallel()
		read(t, s, func(tx *ReadTx) {
			series, err := tx.Series(t.Context(), Selector{})
			if err != nil {
				t.Fatal(err)
			}
			id := series[0].ID
			first := VersionsRow{
				RowKey{id, sunday, 15 * time.Minute}, []gold.Version{version(time.Minute, 1, 1), version(14*time.Minute, 2, 2)},
			}
			second := VersionsRow{
				RowKey{id, sunday + int64(time.Hour), 15 * time.Minute}, []gold.Version{version(time.Hour, 3, 3)},
			}
			last := VersionsRow{
				RowKey{id, sunday + int64(24*time.Hour), 15 * time.Minute},
				[]gold.Version{version(24*time.Hour, 5, 4), version(24*time.Hour+time.Minute, 6, 4)},
			}
			places := []Place{{&series[0], last.Start}, {&series[0], first.Start}, {&series[0], first.Start + 1000}}
			for _, tt := range []struct {
				name  string
				read  func(context.Context, []Place, int) ([][]VersionsRow, error)
				limit int
				want  [][]VersionsRow
			}{
				{"from", tx.VersionsFrom, 1, [][]VersionsRow{{last}, {first}, {second}}},
				{"from", tx.VersionsFrom, 9, [][]VersionsRow{{last}, {first, second, last}, {second, last}}},
				{"before", tx.VersionsBefore, 1, [][]VersionsRow{{second}, nil, {first}}},
				{"before", tx.VersionsBefore, 9, [][]VersionsRow{{second, first}, nil, {first}}},
			} {
				got, err := tt.read(t.Context(), places, tt.limit)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s %d: %s", tt.name, tt.limit, diff)
				}
			}
		})
	})
	t.Run("AnErrorOfTheCallbackComesBack", func(t *testing.T) {
		t.Parallel()
		stop := errors.New("stop")
		err := s.Read(t.Context(), func(tx *ReadTx) error {
			return tx.Rows(t.Context(), seriesIDs(t, tx), sunday, math.MaxInt64, func(*StatsRow) error { return stop })
		})
		if !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	})
}

// Rows whose readings were all withdrawn lie outside the bounds, and are answered
// as far as their bookkeeping goes.
func TestBoundsTellOfRowsWithoutReadings(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 1)
	const day = 24 * time.Hour
	first, counted, last := version(0, 1, 1), version(day, 2, 2), version(2*day, 3, 3)
	first.Quality, last.Quality = reading.Withdrawn, reading.Withdrawn
	flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, register, first, counted, last)})
	read(t, s, func(tx *ReadTx) {
		series, err := tx.Series(t.Context(), Selector{})
		if err != nil {
			t.Fatal(err)
		}
		bounds, err := tx.Bounds(t.Context(), series)
		if err != nil {
			t.Fatal(err)
		}
		b := bounds[series[0].ID]
		if b.FirstAt != counted.Time || b.LastAt != counted.Time || b.rows != (timeSpan{first.Time, last.Time}) {
			t.Errorf("%+v", b)
		}
		windows, err := gold.FixedWindows(day)
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := tx.Pieces(t.Context(), []Ask{{
			Series: series[0], Bounds: b, Metric: c.Metric(register), Windows: windows,
			From: sunday - 7*int64(day), To: sunday + 9*int64(day),
		}})
		if err != nil {
			t.Fatal(err)
		}
		var starts []int64
		err = pieces[0].Each(func(s *gold.Stored) error { starts = append(starts, s.Start); return nil }, nil)
		if want := []int64{first.Time, counted.Time, last.Time}; err != nil || !slices.Equal(starts, want) {
			t.Errorf("rows start at %d, want %d: %v", starts, want, err)
		}
	})
}

// TestReadIsOneSnapshot proves invariant 11.
func TestReadIsOneSnapshot(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 1)
	bound(t, s)
	w := s.NewWriter(0, c, WriterConfig{})
	flush(t, w, Flush{Move: move(0, 1), Groups: groups(c, register, version(0, 1, 1))})
	read(t, s, func(tx *ReadTx) {
		see := func() (sequence uint64, rows int) {
			positions, err := tx.Positions(t.Context())
			if err != nil || len(positions) != 1 {
				t.Fatalf("%v, %v", positions, err)
			}
			err = tx.Rows(t.Context(), seriesIDs(t, tx), sunday, math.MaxInt64, func(*StatsRow) error { rows++; return nil })
			if err != nil {
				t.Fatal(err)
			}
			return positions[0].Sequence, rows
		}
		if sequence, rows := see(); sequence != 1 || rows != 1 {
			t.Errorf("before: sequence %d, %d rows", sequence, rows)
		}
		// A row in a week that has no partition yet.
		flush(t, w, Flush{Move: move(1, 2), Groups: groups(c, register, version(48*time.Hour, 1, 1))})
		if sequence, rows := see(); sequence != 1 || rows != 1 {
			t.Errorf("after: sequence %d, %d rows", sequence, rows)
		}
	})
}

func TestReadOfAnUnmigratedDatabaseSaysWhatMendsIt(t *testing.T) {
	t.Parallel()
	s := openURL(t, databaseWithoutSchema(t), Config{})
	err := s.Read(t.Context(), func(tx *ReadTx) error {
		_, err := tx.Positions(t.Context())
		return err
	})
	if !errors.Is(err, ErrNotMigrated) || IsRetryable(err) {
		t.Errorf("got %v", err)
	}
	_, err = s.NewWriter(0, defaultCatalog(t, 1), WriterConfig{}).Flush(t.Context(), Flush{})
	if !errors.Is(err, ErrNotMigrated) {
		t.Errorf("got %v", err)
	}
}
