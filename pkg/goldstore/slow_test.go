package goldstore

import (
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
)

// TestContentWaitsForWhoReadsIt: no statement is under way while a row of gold's content,
// or its key, is looked at, so that none is ended for what is done with the rows, and each row comes
// whole, once and in order.
func TestContentWaitsForWhoReadsIt(t *testing.T) {
	t.Parallel()
	url, c := database(t), defaultCatalog(t, 1)
	const (
		windows = 1300 // more than two pieces of an answer
		dense   = 508  // a window whose parts begin in the first piece and end in the second
	)
	var versions []gold.Version
	add := func(at time.Duration) {
		versions = append(versions, version(at, float64(len(versions)), uint64(len(versions)+1)))
	}
	for n := range windows {
		start := time.Duration(n) * 15 * time.Minute
		add(start)
		for i := 1; n == dense && i < 2000; i++ {
			add(start + time.Duration(i)*400*time.Millisecond)
		}
	}
	filled := openURL(t, url, Config{})
	flush(t, filled.NewWriter(0, c, WriterConfig{}), Flush{Groups: groups(c, register, versions...)})

	s := openURL(t, url, Config{MaxConns: 1, StatementTimeout: time.Second})
	for range 2 { // the snapshot can be read again
		rows, found := 0, 0
		err := s.Read(t.Context(), func(tx *ReadTx) error {
			keys := 0
			err := tx.RowKeys(t.Context(), []int64{seriesID}, -1<<62, 1<<62, func(RowKey, int64) error {
				if tx.tx.Conn().PgConn().IsBusy() {
					t.Fatal("a statement is under way")
				}
				keys++
				return nil
			})
			if err != nil || keys != windows {
				t.Errorf("%d keys, %v", keys, err)
			}
			last := RowKey{}
			return tx.Content(t.Context(), RowKey{}, RowKey{SeriesID: 1<<63 - 1}, func(r *ContentRow) error {
				if tx.tx.Conn().PgConn().IsBusy() {
					t.Fatal("a statement is under way")
				}
				if rows == 0 { // longer than any statement is let be, there and here
					exec(t, filled, "SELECT pg_sleep(1.6)")
				}
				if last.Compare(r.RowKey) >= 0 {
					t.Errorf("%+v comes after %+v", r.RowKey, last)
				}
				last = r.RowKey
				held, err := r.Versions()
				if rows == dense && len(r.Parts) < 5 {
					t.Errorf("the dense window has %d parts", len(r.Parts))
				}
				rows++
				found += len(held)
				if _, asked := tx.Positions(t.Context()); asked != nil {
					t.Fatal(asked)
				}
				return err
			})
		})
		if err != nil || rows != windows || found != len(versions) {
			t.Fatalf("%d rows with %d versions of %d are read: %v", rows, found, len(versions), err)
		}
	}
}
