package goldstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Position is how far one stage has read its input for one partition. A
// position that was never moved has an empty Stream.
type Position struct {
	Stage     string
	Partition uint32
	Stream    string    // name of the input stream
	Created   time.Time // when that stream was created, in whole µs, UTC
	Sequence  uint64    // last sequence that is covered
	Received  time.Time // when the broker stored the message at Sequence; zero when there is none
	Refused   Refused   // what it rests on besides what is stored here
	Counts    Counts    // sums since the stream's beginning
	UpdatedAt time.Time
}

// Refused is the end of what a stage has put into the stream of refused readings.
type Refused struct {
	Created  time.Time // when that stream was created; zero when Sequence is 0
	Sequence uint64    // of the stage's last message; 0 when there is none
	Sum      uint32    // tells that message from another at its sequence
}

// Counts adds up readings for the conservation of a stage:
// In = Out + Quarantined.
type Counts struct {
	In, Out, Quarantined uint64
}

// PositionMove takes a position from one sequence to another. It is stored
// only if the position stands at From of that very stream.
type PositionMove struct {
	Stage     string
	Partition uint32
	Stream    string
	Created   time.Time // taken in whole µs
	From, To  uint64
	Received  time.Time // of the message at To
	Refused   Refused
	Counts    Counts // added to the position's
}

// microseconds is what Postgres keeps of a time.
func microseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// unixNano returns a time in Unix ns, 0 for the zero time.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// ReadsFrom reports whether the position is one in that stream, created then.
// A stream's creation time has ns, a position's µs.
func (p Position) ReadsFrom(stream string, created time.Time) bool {
	return p.Stream == stream && p.Created.Equal(microseconds(created))
}

const (
	positionColumns = `stage, partition, stream, stream_created, sequence, received_ns,
	refused_created_ns, refused_sequence, refused_sum, readings_in, readings_out, quarantined, updated_at`
	createPosition = `INSERT INTO gold.positions (stage, partition) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	loadPosition   = `SELECT ` + positionColumns + ` FROM gold.positions WHERE stage = $1 AND partition = $2`
	resetPosition  = `
UPDATE gold.positions SET stream = $6, stream_created = $7, sequence = $8, received_ns = 0,
	refused_created_ns = 0, refused_sequence = 0, refused_sum = 0,
	readings_in = CASE WHEN stream = $6 AND stream_created = $7 AND $8::bigint > 0 THEN readings_in ELSE 0 END,
	readings_out = CASE WHEN stream = $6 AND stream_created = $7 AND $8::bigint > 0 THEN readings_out ELSE 0 END,
	quarantined = CASE WHEN stream = $6 AND stream_created = $7 AND $8::bigint > 0 THEN quarantined ELSE 0 END,
	updated_at = now()
WHERE stage = $1 AND partition = $2 AND stream = $3 AND stream_created = $4 AND sequence = $5
RETURNING ` + positionColumns
	// The compare-and-set under the law "a position moves once": a second owner
	// waits for the first one's commit here, then matches no row.
	movePosition = `
UPDATE gold.positions SET sequence = $6, received_ns = $7, updated_at = now(),
	readings_in = readings_in + $8, readings_out = readings_out + $9, quarantined = quarantined + $10,
	refused_created_ns = $11, refused_sequence = $12, refused_sum = $13
WHERE stage = $1 AND partition = $2 AND stream = $3 AND stream_created = $4 AND sequence = $5`
)

func scanPosition(row pgx.CollectableRow) (p Position, err error) {
	var partition int32
	var sequence, received, created, refused, sum, in, out, quarantined int64
	err = row.Scan(&p.Stage, &partition, &p.Stream, &p.Created, &sequence, &received, &created, &refused, &sum,
		&in, &out, &quarantined, &p.UpdatedAt)
	p.Partition, p.Sequence = uint32(partition), uint64(sequence)
	p.Counts = Counts{In: uint64(in), Out: uint64(out), Quarantined: uint64(quarantined)}
	p.Created = p.Created.UTC()
	p.Received = timeOf(received)
	p.Refused = Refused{Created: timeOf(created), Sequence: uint64(refused), Sum: uint32(sum)}
	return p, err
}

// timeOf returns the time that unixNano gave.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// LoadPosition returns the position of a stage and partition. It makes one
// without a stream where there is none.
func (s *Store) LoadPosition(ctx context.Context, stage string, partition uint32) (Position, error) {
	fail := func(err error) (Position, error) {
		return Position{}, fmt.Errorf("load position of %s %d: %w", stage, partition, missingTable(err))
	}
	if _, err := s.pool.Exec(ctx, createPosition, stage, int32(partition)); err != nil {
		return fail(err)
	}
	rows, err := s.pool.Query(ctx, loadPosition, stage, int32(partition))
	if err != nil {
		return fail(err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanPosition)
	if err != nil {
		return fail(err)
	}
	return p, nil
}

// ResetPosition puts a position onto another stream or sequence: for the first
// time, or when the input stream was made anew or lost its tail. It returns
// ErrPositionMoved when the stored position is not old. Counts begin anew, but not where
// the stream is the same and does not hold its beginning any more: what was removed is
// not counted again.
func (s *Store) ResetPosition(ctx context.Context, old Position, stream string, created time.Time, sequence uint64,
) (Position, error) {
	rows, err := s.pool.Query(ctx, resetPosition,
		old.Stage, int32(old.Partition), old.Stream, microseconds(old.Created), int64(old.Sequence),
		stream, microseconds(created), int64(sequence))
	if err == nil {
		var p Position
		if p, err = pgx.CollectExactlyOneRow(rows, scanPosition); err == nil {
			return p, nil
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrPositionMoved
	}
	return Position{}, fmt.Errorf("reset position of %s %d from %d of %q: %w",
		old.Stage, old.Partition, old.Sequence, old.Stream, err)
}

// check refuses moves that cannot be meant.
func (m *PositionMove) check() error {
	if m.To < m.From || m.Stream == "" {
		return fmt.Errorf("move position of %s: a position moves forward in a named stream", m)
	}
	return nil
}

// queue adds the move to a batch; a position that is elsewhere fails it with
// ErrPositionMoved.
func (m *PositionMove) queue(b *pgx.Batch) {
	b.Queue(movePosition, m.Stage, int32(m.Partition), m.Stream, microseconds(m.Created), int64(m.From),
		int64(m.To), unixNano(m.Received), int64(m.Counts.In), int64(m.Counts.Out), int64(m.Counts.Quarantined),
		unixNano(m.Refused.Created), int64(m.Refused.Sequence), int64(m.Refused.Sum),
	).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("move position of %s: %w", m, ErrPositionMoved)
		}
		return nil
	})
}

// String returns the position and the move for error messages.
func (m *PositionMove) String() string {
	return fmt.Sprintf("%s %d in %s from %d to %d", m.Stage, m.Partition, m.Stream, m.From, m.To)
}
