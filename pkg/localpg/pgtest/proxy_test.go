package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestProxy loses the answers to every other commit: what was committed is there, and
// whoever committed it has an error.
func TestProxy(t *testing.T) {
	t.Parallel()
	url := Database(t, shared.name("empty"), nil)
	if err := exec(t.Context(), url, "CREATE TABLE readings (v int)"); err != nil {
		t.Fatal(err)
	}
	p := NewProxy(t, url)
	insert := func() error {
		conn, err := pgx.Connect(t.Context(), p.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO readings VALUES (1)")
			return err
		})
	}
	if err := insert(); err != nil {
		t.Fatal(err)
	}
	p.LoseCommits(2)
	for n, want := range []bool{true, false, true, false} {
		if err := insert(); (err != nil) != want {
			t.Errorf("commit %d: %v", n, err)
		}
	}
	p.LoseCommits(0)
	if err := insert(); err != nil {
		t.Error(err)
	}
	if n := count(t, url, "readings"); n != 6 || p.Lost() != 2 {
		t.Errorf("%d rows are there, %d answers were lost", n, p.Lost())
	}
}
