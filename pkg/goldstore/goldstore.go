// Package goldstore keeps gold in Postgres: base rows with their versions, the
// positions of the stages, the outbox of the feed, and the projection of the
// quarantine.
//
// What it promises:
//
//   - Gold content is a function of the set of versions that were flushed.
//     Whatever order, repetition, grouping, crash or second writer they come
//     by, the view gold.content is the same, byte for byte.
//   - A position moves in the transaction that stores what it covers, as its
//     first statement. Of two writers that start from one position, the second
//     stores nothing.
//   - A feed message is in the outbox if and only if its changes are in gold.
//   - A read sees one snapshot.
//
// How it fails: sentinels and types of errors.go tell the caller what to do,
// IsRetryable tells whether the same call can succeed later. A write whose
// commit got lost on the way may have been stored; writing it again does no
// harm, since merging is idempotent and a position moves once.
//
// Rows of gold.base are never deleted one by one: a row whose versions are all
// gone stays, empty, with a greater revision. Writers rest on it when they
// guard an update by the revision that they know. Who takes versions out of
// rows holds the partition's exclusive lock and raises its generation, so that
// writers drop what they remember.
package goldstore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/reading"
)

// Config bounds what a store takes of the database. The zero value is ready
// for use.
type Config struct {
	// Application names the sessions in pg_stat_activity.
	Application string
	// MaxConns bounds the pool. 0 leaves it to the URL's pool_max_conns, else
	// to the greater of 4 and the number of CPUs. A Writer takes a connection
	// for the time of a flush, a read for its own time.
	MaxConns int32
	// ConnectTimeout bounds one attempt to connect; 0 means 5 s.
	ConnectTimeout time.Duration
	// StatementTimeout makes the server end a statement that takes longer. Half as
	// long again after that it is given up on this side: the server's host may be
	// gone without a word. 0 bounds neither. Calls end with their context in any case.
	StatementTimeout time.Duration
	// Tracers, if not nil, opens spans of calls that are made in a span which is recorded.
	Tracers trace.TracerProvider
}

const defaultConnectTimeout = 5 * time.Second

// readBuffer is how much of an answer is read from a connection at once; the driver
// by itself reads 8 KiB.
const readBuffer = 64 << 10

// Store is gold in one database. It is safe for concurrent use.
//
// It needs session-level state (temporary tables, prepared statements): a
// connection pooler in between has to pool sessions, not transactions.
type Store struct {
	pool   *pgxpool.Pool
	hashID func(reading.Series) int64 // SeriesID but in tests

	mu    sync.Mutex
	weeks map[int64]struct{} // starts of the base partitions known to exist, Unix s
}

// Open returns the store of that database. It does not connect: a database
// that is down shows in Ping and in the first call, and is no reason not to
// start. It returns an error when the URL is not one.
func Open(ctx context.Context, url string, c Config) (*Store, error) {
	pc, err := poolConfig(url, c)
	if err != nil {
		return nil, fmt.Errorf("open gold: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open gold: %w", err)
	}
	return &Store{pool: pool, hashID: SeriesID, weeks: make(map[int64]struct{})}, nil
}

func poolConfig(url string, c Config) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	if c.MaxConns > 0 {
		pc.MaxConns = c.MaxConns
	}
	pc.ConnConfig.ConnectTimeout = defaultConnectTimeout
	if c.ConnectTimeout > 0 {
		pc.ConnConfig.ConnectTimeout = c.ConnectTimeout
	}
	// Answers are read in binary format, which the simple protocol lacks.
	pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	parameters := pc.ConnConfig.RuntimeParams
	parameters["timezone"] = "UTC"
	// A generic plan locks every partition of gold.base, a custom one those that
	// its arguments name.
	parameters["plan_cache_mode"] = "force_custom_plan"
	if c.Application != "" {
		parameters["application_name"] = c.Application
	}
	pc.ConnConfig.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
	}
	all := newCalls(deadlineOf(c.StatementTimeout), c.Tracers)
	pc.ConnConfig.Tracer = all
	pc.PingTimeout = time.Duration(all.deadline)
	pc.AfterConnect = func(_ context.Context, conn *pgx.Conn) error { all.mark(conn); return nil }
	if c.StatementTimeout > 0 {
		parameters["statement_timeout"] = strconv.FormatInt(c.StatementTimeout.Milliseconds(), 10)
	}
	return pc, nil
}

// Close closes the store's connections. It waits for calls under way.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	err := s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		ctx, cancel := within(ctx, conn.Conn())
		defer cancel()
		return conn.Ping(ctx)
	})
	if err != nil {
		return fmt.Errorf("ping gold: %w", err)
	}
	return nil
}
