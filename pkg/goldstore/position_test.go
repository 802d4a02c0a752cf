package goldstore

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/energy-platform/energy/pkg/reading"
)

var created = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

// bound returns a position of gold's partition 0 at sequence 0 of SILVER.
func bound(tb testing.TB, s *Store) Position {
	tb.Helper()
	p, err := s.LoadPosition(tb.Context(), "gold", 0)
	if err == nil {
		p, err = s.ResetPosition(tb.Context(), p, "SILVER", created, 0)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func move(from, to uint64) *PositionMove {
	return &PositionMove{
		Stage: "gold", Stream: "SILVER", Created: created, From: from, To: to,
		Counts: Counts{In: to - from, Out: to - from},
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	c := defaultCatalog(t, 1)
	ignoreTime := cmpopts.IgnoreFields(Position{}, "UpdatedAt")

	t.Run("IsMadeAtLoadAndBoundByReset", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		p, err := s.LoadPosition(t.Context(), "gold", 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Position{Stage: "gold", Partition: 3}, p, ignoreTime); diff != "" {
			t.Error(diff)
		}
		q, err := s.ResetPosition(t.Context(), p, "SILVER", created, 7)
		if err != nil {
			t.Fatal(err)
		}
		if !q.ReadsFrom("SILVER", created) || q.ReadsFrom("SILVER", created.Add(time.Second)) || q.Sequence != 7 {
			t.Errorf("%+v", q)
		}
		if _, err := s.ResetPosition(t.Context(), p, "SILVER", created, 8); !errors.Is(err, ErrPositionMoved) {
			t.Errorf("reset from where it no longer is: %v", err)
		}
		again, err := s.LoadPosition(t.Context(), "gold", 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(q, again); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("KeepsItsCountsWhereTheBeginningWasRemoved", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		bound(t, s)
		move := move(0, 9)
		move.Counts = Counts{In: 5, Out: 4, Quarantined: 1}
		if _, err := s.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), Flush{Move: move}); err != nil {
			t.Fatal(err)
		}
		p, err := s.LoadPosition(t.Context(), "gold", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []struct {
			sequence uint64
			created  time.Time
			want     Counts
		}{{6, created, move.Counts}, {0, created, Counts{}}, {6, created.Add(time.Second), Counts{}}} {
			if p, err = s.ResetPosition(t.Context(), p, "SILVER", to.created, to.sequence); err != nil {
				t.Fatal(err)
			}
			if p.Counts != to.want {
				t.Errorf("at %d of the stream made %s: %+v", to.sequence, to.created, p.Counts)
			}
		}
	})
	t.Run("IsMovedByOneOfManyOwnersAlone", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		bound(t, s)
		var (
			wg  sync.WaitGroup
			won atomic.Int64
		)
		for i := range 4 {
			wg.Go(func() {
				f := Flush{Move: move(0, uint64(10+i)), Groups: groups(c, register, version(time.Duration(i)*time.Hour, 1, 1))}
				switch _, err := s.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), f); {
				case err == nil:
					won.Add(int64(10 + i))
				case !errors.Is(err, ErrPositionMoved):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		p, err := s.LoadPosition(t.Context(), "gold", 0)
		if err != nil {
			t.Fatal(err)
		}
		n := uint64(won.Load())
		if p.Sequence != n || n > 13 || p.Counts != (Counts{In: n, Out: n}) {
			t.Errorf("winners add up to %d, position %+v", n, p)
		}
		if rows := content(t, s); len(rows) != 1 {
			t.Errorf("%d rows", len(rows))
		}
	})
	t.Run("DoesNotMoveInAnotherStream", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		bound(t, s)
		for name, m := range map[string]*PositionMove{
			"another name":     {Stage: "gold", Stream: "SILVER2", Created: created, To: 1},
			"another creation": {Stage: "gold", Stream: "SILVER", Created: created.Add(time.Millisecond), To: 1},
			"another stage":    {Stage: "gold2", Stream: "SILVER", Created: created, To: 1},
			"ahead":            {Stage: "gold", Stream: "SILVER", Created: created, From: 1, To: 2},
		} {
			f := Flush{Move: m, Groups: groups(c, register, version(0, 1, 1))}
			if _, err := s.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), f); !errors.Is(err, ErrPositionMoved) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if rows := content(t, s); len(rows) != 0 {
			t.Errorf("%d rows", len(rows))
		}
	})
	t.Run("MovesWithoutRows", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		bound(t, s)
		flush(t, s.NewWriter(0, c, WriterConfig{}), Flush{Move: move(0, 5)})
		if p, err := s.LoadPosition(t.Context(), "gold", 0); err != nil || p.Sequence != 5 {
			t.Errorf("%+v, %v", p, err)
		}
	})
	t.Run("DoesNotMoveBack", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		if _, err := s.NewWriter(0, c, WriterConfig{}).Flush(t.Context(), Flush{Move: move(2, 1)}); err == nil {
			t.Error("no error")
		}
	})
}

// TestQuarantineStoresWhatPostgresCannotSpell projects a row of which every text
// has a NUL and no UTF-8, as a stage in another language may send.
func TestQuarantineStoresWhatPostgresCannotSpell(t *testing.T) {
	t.Parallel()
	s := open(t)
	at := time.Now().Truncate(time.Microsecond)
	old, err := s.LoadPosition(t.Context(), "quarantine", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ResetPosition(t.Context(), old, "QUARANTINE", at, 0); err != nil {
		t.Fatal(err)
	}
	const hostile = "a\x00b\xff"
	err = s.ProjectQuarantine(t.Context(), PositionMove{Stage: "quarantine", Stream: "QUARANTINE", Created: at, To: 1},
		[]QuarantineRow{{
			Stage: hostile, Rule: hostile, Detail: hostile, Payload: []byte(hostile),
			Reading: reading.Reading{EntityID: hostile, Metric: hostile, Unit: hostile},
		}}, []QuarantineDecision{{
			Stage: hostile, Resolution: reading.Discarded, Decision: reading.Decision{Person: hostile, Reason: hostile},
		}})
	if err != nil {
		t.Fatal(err)
	}
	if n := number(t, s, `SELECT count(*) FROM gold.quarantine WHERE stage = E'a\uFFFDb\uFFFD' AND rule = stage`); n != 1 {
		t.Errorf("%d rows have the texts as they can be spelled", n)
	}
}

func TestProjectQuarantine(t *testing.T) {
	t.Parallel()
	s := open(t)
	p, err := s.LoadPosition(t.Context(), "quarantine", 0)
	if err == nil {
		_, err = s.ResetPosition(t.Context(), p, "QUARANTINE", created, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := []QuarantineRow{
		{
			Stamp: reading.Stamp{Received: 5, Sequence: 1, Index: math.MaxUint32}, Stage: "silver", Rule: "out_of_range",
			Epoch: 1, Rules: reading.Rules(0).With(reading.OutOfRange), Detail: "too much",
			Reading: reading.Reading{
				EntityID: "a\x00b\xff", Metric: "m", Value: math.Inf(1), Revision: math.MaxUint64, Time: math.MinInt64,
				Exchange: true, ExchangeStart: 7,
			},
		},
		{Stamp: reading.Stamp{Received: 5, Sequence: 2}, Stage: "ingest", Rule: "undecodable", Payload: []byte{0, 255}},
	}
	rows = append(rows, rows[1]) // twice in one message
	step := PositionMove{Stage: "quarantine", Stream: "QUARANTINE", Created: created, To: 3, Counts: Counts{In: 3}}
	if err := s.ProjectQuarantine(t.Context(), step, rows, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.ProjectQuarantine(t.Context(), step, rows, nil); !errors.Is(err, ErrPositionMoved) {
		t.Errorf("the same move again: %v", err)
	}
	decided := []QuarantineDecision{{Stamp: rows[1].Stamp, Stage: "ingest", Resolution: reading.Accepted}}
	step.From, step.To = 3, 4
	if err := s.ProjectQuarantine(t.Context(), step, nil, decided); err != nil {
		t.Fatal(err)
	}
	step.From, step.To = 4, 5
	if err := s.ProjectQuarantine(t.Context(), step, rows, nil); err != nil { // delivered again
		t.Fatal(err)
	}
	err = s.Read(t.Context(), func(tx *ReadTx) error {
		counts, err := tx.QuarantineCounts(t.Context())
		if diff := cmp.Diff([]QuarantineCount{{"silver", "out_of_range", 1}}, counts); diff != "" {
			t.Error(diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := number(t, s, `SELECT count(*) FROM gold.quarantine WHERE entity = E'a\uFFFDb\uFFFD' AND value = 'Infinity'
		AND revision = 18446744073709551615 AND index = 4294967295 AND exchange_start = 7`); n != 1 {
		t.Errorf("%d rows as they came", n)
	}
	if n := number(t, s, `SELECT count(*) FROM gold.quarantine WHERE exchange_start IS NULL`); n != 1 {
		t.Errorf("%d rows record no exchange, want the undecodable one", n)
	}
}
