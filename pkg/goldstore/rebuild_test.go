package goldstore

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/gold/goldtest"
	"github.com/energy-platform/energy/pkg/reading"
)

// TestRebuild: rows are what a naive recomputation of the versions that stay and of
// the fresh ones gives; a plan says so before; and a writer that remembers what was
// taken out is not deceived by it (invariant 22).
func TestRebuild(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		stored, fresh := drawJudged(t), drawJudged(t)
		bound := goldtest.Stamp().Draw(t, "bound")
		replaced := func(v *gold.Version) (bool, error) { return v.Stamp.Compare(bound) < 0, nil }

		mustExec(t, s, empty)
		live := s.NewWriter(0, c, WriterConfig{})
		mustFlush(t, live, Flush{Groups: collect(c, stored)})
		groups := withRows(t, s, collect(c, fresh))
		f := Flush{Groups: groups, Replaced: replaced, Cause: gold.CauseBatch}
		before := content(t, s)
		planned, err := s.NewWriter(0, c, WriterConfig{}).Plan(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, content(t, s)); diff != "" {
			t.Fatalf("the plan writes:\n%s", diff)
		}
		done := mustFlush(t, s.NewWriter(0, c, WriterConfig{CacheBytes: -1}), f)
		if diff := cmp.Diff(planned.Changes, done.Changes); diff != "" || planned.Added != done.Added ||
			planned.Removed != done.Removed || planned.Updated != done.Updated || planned.Inserted != done.Inserted {
			t.Fatalf("planned %+v, done %+v:\n%s", planned, done, diff)
		}
		rebuilt := content(t, s)
		redelivered := rapid.SliceOfN(rapid.SampledFrom(stored), 0, len(stored)).Draw(t, "redelivered")
		mustFlush(t, live, Flush{Groups: collect(c, redelivered)})
		delivered := content(t, s)

		// Naively: as a set that was never anything else. Rows that were emptied are gone.
		kept := naiveUnion(c, stored, replaced, fresh)
		mustExec(t, s, empty)
		mustFlush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: kept})
		if diff := cmp.Diff(content(t, s), rebuilt); diff != "" {
			t.Fatalf("rebuilt (-naive +got):\n%s", diff)
		}
		mustFlush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: collect(c, redelivered)})
		if diff := cmp.Diff(content(t, s), delivered); diff != "" {
			t.Fatalf("delivered again to the writer that remembers (-naive +got):\n%s", diff)
		}
	})
}

// TestRebuildUnderAnEarlierEpoch: who does not know an epoch does not take out what was
// judged under it, which cannot be among what he puts in.
func TestRebuildUnderAnEarlierEpoch(t *testing.T) {
	t.Parallel()
	s, early, late := open(t), defaultCatalog(t, 1), defaultCatalog(t, 2)
	judged := version(0, 10, 1)
	judged.Epoch = 2
	flush(t, s.NewWriter(0, late, WriterConfig{}), Flush{Groups: groups(late, register, judged)})
	before := content(t, s)
	f := Flush{
		Groups:   groups(early, register, version(0, 11, 1)),
		Replaced: func(*gold.Version) (bool, error) { return true, nil },
	}
	if _, err := s.NewWriter(0, early, WriterConfig{}).Flush(t.Context(), f); !errors.Is(err, ErrCatalogBehind) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("broken")
	f.Replaced = func(*gold.Version) (bool, error) { return true, broken }
	if _, err := s.NewWriter(0, late, WriterConfig{}).Flush(t.Context(), f); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, content(t, s)); diff != "" {
		t.Error(diff)
	}
}

func mustFlush(t *rapid.T, w *Writer, f Flush) Result {
	result, err := w.Flush(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// withRows adds the rows that are stored, without versions, to groups.
func withRows(t *rapid.T, s *Store, groups []gold.Group) []gold.Group {
	err := s.Read(t.Context(), func(tx *ReadTx) error {
		return tx.Content(t.Context(), RowKey{}, RowKey{SeriesID: 1<<63 - 1}, func(r *ContentRow) error {
			k := gold.Key{Series: r.Series, Start: r.Start, Width: r.Width}
			if !slices.ContainsFunc(groups, func(g gold.Group) bool { return g.Key == k }) {
				groups = append(groups, gold.Group{Key: k})
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(groups, func(a, b gold.Group) int { return a.Key.Compare(b.Key) })
	return groups
}

// naiveUnion returns what is left of the stored set, one of each duplicate, and the
// fresh one.
func naiveUnion(
	c *catalog.Catalog, stored []judged, replaced func(*gold.Version) (bool, error), fresh []judged,
) []gold.Group {
	var left []judged
	for _, g := range collect(c, stored) {
		for _, v := range g.Versions {
			if gone, _ := replaced(&v); !gone {
				left = append(left, judged{g.Series, v})
			}
		}
	}
	return collect(c, append(left, fresh...))
}

// TestContentRows: a row is read as it is stored, whole or in parts, and every column
// that differs from what it is to be is named.
func TestContentRows(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 2)
	var versions []gold.Version
	for i := range 600 {
		versions = append(versions, version(time.Duration(i)*time.Second, float64(i), uint64(i+1)))
	}
	versions = append(versions, version(time.Hour, 1000, 700))
	all := groups(c, register, versions...)
	flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Groups: all})
	read := func() (rows []ContentRow) {
		t.Helper()
		err := s.Read(t.Context(), func(tx *ReadTx) error {
			return tx.Content(t.Context(), RowKey{}, RowKey{SeriesID: 1<<63 - 1}, func(r *ContentRow) error {
				rows = append(rows, *r)
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := read()
	if len(rows) != 2 || len(rows[0].Parts) < 2 || len(rows[1].Parts) != 1 {
		t.Fatalf("read %+v", rows)
	}
	for i := range rows {
		want := gold.NewRow(c, all[i].Key, all[i].Versions)
		if got, err := rows[i].Versions(); err != nil || !gold.Equal(got, all[i].Versions) {
			t.Errorf("row %d has %d versions of %d: %v", i, len(got), len(all[i].Versions), err)
		}
		if columns := rows[i].Differences(&want); len(columns) != 0 {
			t.Errorf("row %d differs in %v", i, columns)
		}
		other := gold.NewRow(c, all[i].Key, all[i].Versions[1:])
		if columns := rows[i].Differences(&other); !slices.Contains(columns, "samples") || !slices.Contains(columns, "count") {
			t.Errorf("row %d with a version less differs in %v", i, columns)
		}
	}
	exec(t, s, `UPDATE gold.base SET last_settled_ns = last_settled_ns + 1, min = 'NaN', epoch = epoch + 1
		WHERE octet_length(samples) > 0`)
	exec(t, s, `DELETE FROM gold.parts WHERE part_start = (SELECT max(part_start) FROM gold.parts)`)
	rows = read()
	for i, want := range [][]string{{"samples", "stamps"}, {"min", "last_settled_ns", "epoch"}} {
		row := gold.NewRow(c, all[i].Key, all[i].Versions)
		if diff := cmp.Diff(want, rows[i].Differences(&row)); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestBatchMoves: a record moves with the rows that it counts, once (invariant 22).
func TestBatchMoves(t *testing.T) {
	t.Parallel()
	s, c := open(t), defaultCatalog(t, 2)
	record := BatchRecord{ID: "b", Kind: "merge", Selection: json.RawMessage(`{}`), CodeVersion: "x", Epoch: 2,
		StartedAt: time.Now()}
	if err := s.CreateBatch(t.Context(), &record, 2); err != nil {
		t.Fatal(err)
	}
	w := s.NewWriter(1, c, WriterConfig{})
	f := Flush{
		Groups: groups(c, register, version(0, 1, 1), version(time.Hour, 2, 2)),
		Batch: &BatchMove{
			Batch: "b", Partition: 1, From: RowKey{SeriesID: -1}, To: RowKey{SeriesID: 5, Start: 6}, Tally: BatchTally{Limited: 3},
		},
	}
	flush(t, w, f)
	before := content(t, s)
	if _, err := w.Flush(t.Context(), f); !errors.Is(err, ErrPositionMoved) {
		t.Errorf("moved twice: %v", err)
	}
	f.Batch.From = f.Batch.To
	f.Batch.Tally = BatchTally{Inserted: 2, Added: 2, Limited: 3}
	flush(t, w, f)
	if diff := cmp.Diff(before, content(t, s)); diff != "" {
		t.Error(diff)
	}
	err := s.Read(t.Context(), func(tx *ReadTx) error {
		got, err := tx.Batch(t.Context(), "b")
		want := BatchTally{Inserted: 2, Unchanged: 2, Added: 2, Limited: 3}
		if err == nil && (got.Changes != want || got.State != BatchRunning || !got.FinishedAt.IsZero()) {
			t.Errorf("the record is %+v", got)
		}
		if _, missing := tx.Batch(t.Context(), "c"); !errors.Is(missing, ErrNoBatch) {
			t.Errorf("a record that is not there: %v", missing)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMissingRefusals: entries of the quarantine are found by their whole key.
func TestMissingRefusals(t *testing.T) {
	t.Parallel()
	s := open(t)
	var rows []QuarantineRow
	for i := range 4 {
		rows = append(rows, QuarantineRow{
			Stamp: reading.Stamp{Received: 7, Sequence: 8, Index: uint32(i)}, Stage: "silver", Rule: "out_of_range", Epoch: 1,
		})
	}
	if err := s.AddRefusals(t.Context(), rows[:2]); err != nil {
		t.Fatal(err)
	}
	rows[3].Stamp.Index, rows[3].Epoch = 0, 2
	err := s.Read(t.Context(), func(tx *ReadTx) error {
		missing, err := tx.MissingRefusals(t.Context(), rows)
		if diff := cmp.Diff(rows[2:], missing); diff != "" {
			t.Error(diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
