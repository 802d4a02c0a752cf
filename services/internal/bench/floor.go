package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
)

// The floor is what the platform is measured against: one process that reads READINGS
// in order, scans the one shape of JSON that the workloads have, and keeps count, sum,
// least, greatest, first and last value of each window in Postgres together with its
// position, so that it is exact after a kill. It checks nothing, and knows neither
// corrections nor duplicates, layers nor partitions.

const floorSchema = `
CREATE TABLE IF NOT EXISTS floor_windows (
	entity text, metric text, start bigint, count bigint, sum float8, min float8, max float8, first float8, last float8,
	PRIMARY KEY (entity, metric, start));
CREATE TABLE IF NOT EXISTS floor_position (one boolean PRIMARY KEY DEFAULT true, sequence bigint, readings bigint);
INSERT INTO floor_position (sequence, readings) VALUES (0, 0) ON CONFLICT DO NOTHING`

const floorUpsert = `
INSERT INTO floor_windows AS w SELECT * FROM floor_staging
ON CONFLICT (entity, metric, start) DO UPDATE SET count = w.count + excluded.count, sum = w.sum + excluded.sum,
	min = least(w.min, excluded.min), max = greatest(w.max, excluded.max), last = excluded.last`

// floorKey is a window of the floor, and floorWindow its sums.
type floorKey struct {
	entity, metric string
	start          int64 // Unix s
}

type floorWindow struct {
	count                      int64
	sum, min, max, first, last float64
}

// floor is the process at work.
type floor struct {
	db       *pgx.Conn
	window   int64 // seconds
	windows  map[floorKey]*floorWindow
	names    map[string]string
	sequence uint64
	readings int64
	pending  int64
}

// floorFlush is after how many readings it writes.
const floorFlush = 200_000

// Floor is the process that reads READINGS.
type Floor struct {
	NATSURL, DatabaseURL string
	Window               time.Duration // of the windows, whole seconds
}

// Run connects, says "ready" on out, waits for a line from in, and reads until ctx
// ends.
func (c *Floor) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	err := c.run(ctx, in, out)
	if ctx.Err() != nil {
		return nil // what was not stored is read again
	}
	return err
}

func (c *Floor) run(ctx context.Context, in io.Reader, out io.Writer) error {
	f := &floor{
		window: int64(c.Window / time.Second), windows: make(map[floorKey]*floorWindow), names: make(map[string]string),
	}
	var err error
	if f.db, err = pgx.Connect(ctx, c.DatabaseURL); err != nil {
		return err
	}
	defer f.db.Close(context.WithoutCancel(ctx))
	if _, err := f.db.Exec(ctx, floorSchema); err != nil {
		return err
	}
	_, err = f.db.Exec(ctx, "CREATE TEMP TABLE floor_staging (LIKE floor_windows) ON COMMIT DELETE ROWS")
	if err != nil {
		return err
	}
	row := f.db.QueryRow(ctx, "SELECT sequence, readings FROM floor_position")
	if err := row.Scan(&f.sequence, &f.readings); err != nil {
		return err
	}
	conn, err := nats.Connect(c.NATSURL)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return fmt.Errorf("wait for the start: %w", err)
	}
	sub, err := js.SubscribeSync("readings.>", nats.OrderedConsumer(), nats.StartSequence(f.sequence+1))
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, 1<<30); err != nil {
		return err
	}
	return f.run(ctx, sub)
}

func (f *floor) run(ctx context.Context, sub *nats.Subscription) error {
	for {
		m, err := sub.NextMsg(20 * time.Millisecond)
		switch {
		case errors.Is(err, nats.ErrTimeout):
			if err := f.flush(ctx); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
			continue
		case err != nil:
			return err
		}
		if err := f.take(m); err != nil {
			return err
		}
		if f.pending >= floorFlush {
			if err := f.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// take adds a message's readings to their windows.
func (f *floor) take(m *nats.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	f.sequence = meta.Sequence.Stream
	for rest := m.Data; ; {
		at := bytes.IndexByte(rest, '{')
		if at < 0 {
			return nil
		}
		if rest, err = f.object(rest[at+1:]); err != nil {
			return fmt.Errorf("message %d: %w", f.sequence, err)
		}
	}
}

// object adds one reading, whose opening brace was read, and returns what follows.
func (f *floor) object(b []byte) ([]byte, error) {
	var k floorKey
	var value float64
	for {
		name, rest, err := quoted(b)
		if err != nil {
			return nil, err
		}
		rest = rest[1:] // the colon
		var text []byte
		if rest[0] == '"' {
			if text, rest, err = quoted(rest); err != nil {
				return nil, err
			}
		} else {
			end := bytes.IndexAny(rest, ",}")
			if end < 0 {
				return nil, errShape
			}
			text, rest = rest[:end], rest[end:]
		}
		switch string(name) {
		case "entity_id":
			k.entity = f.intern(text)
		case "metric":
			k.metric = f.intern(text)
		case "time":
			if k.start, err = seconds(text); err != nil {
				return nil, err
			}
			k.start -= k.start % f.window
		case "value":
			if value, err = strconv.ParseFloat(string(text), 64); err != nil {
				return nil, err
			}
		}
		if rest[0] == '}' {
			f.add(k, value)
			return rest[1:], nil
		}
		b = rest[1:]
	}
}

func (f *floor) add(k floorKey, value float64) {
	w := f.windows[k]
	if w == nil {
		w = &floorWindow{min: value, max: value, first: value}
		f.windows[k] = w
	}
	w.count++
	w.sum += value
	w.min, w.max, w.last = min(w.min, value), max(w.max, value), value
	f.readings++
	f.pending++
}

var errShape = errors.New("not of the shape that the floor knows")

// quoted returns the text that b begins with in quotes, and what follows.
func quoted(b []byte) (text, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, errShape
	}
	end := bytes.IndexByte(b[1:], '"')
	if end < 0 || end+2 >= len(b) {
		return nil, nil, errShape
	}
	return b[1 : 1+end], b[2+end:], nil
}

func (f *floor) intern(b []byte) string {
	if s, ok := f.names[string(b)]; ok {
		return s
	}
	s := string(b)
	f.names[s] = s
	return s
}

// seconds reads 2026-01-05T00:00:00Z.
func seconds(b []byte) (int64, error) {
	if len(b) != len(time.RFC3339)-len("07:00") || b[len(b)-1] != 'Z' {
		return 0, errShape
	}
	number := func(from, to int) int {
		n := 0
		for _, c := range b[from:to] {
			n = 10*n + int(c-'0')
		}
		return n
	}
	return time.Date(number(0, 4), time.Month(number(5, 7)), number(8, 10),
		number(11, 13), number(14, 16), number(17, 19), 0, time.UTC).Unix(), nil
}

// flush stores windows and position in one transaction.
func (f *floor) flush(ctx context.Context) error {
	if f.pending == 0 {
		return nil
	}
	rows := make([][]any, 0, len(f.windows))
	for k, w := range f.windows {
		rows = append(rows, []any{k.entity, k.metric, k.start, w.count, w.sum, w.min, w.max, w.first, w.last})
	}
	err := pgx.BeginFunc(ctx, f.db, func(tx pgx.Tx) error {
		columns := []string{"entity", "metric", "start", "count", "sum", "min", "max", "first", "last"}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"floor_staging"}, columns, pgx.CopyFromRows(rows)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, floorUpsert); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE floor_position SET sequence = $1, readings = $2", int64(f.sequence), f.readings)
		return err
	})
	if err != nil {
		return err
	}
	clear(f.windows)
	f.pending = 0
	return nil
}
