package goldstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/energy-platform/energy/pkg/reading"
)

var (
	// ErrNotMigrated says that the database lacks a migration which this
	// program needs.
	ErrNotMigrated = errors.New("the database is not migrated: run energy migrate")
	// ErrChecksum says that a migration was changed after it had been applied.
	ErrChecksum = errors.New("an applied migration was changed")
	// ErrPositionMoved says that a position was not where the caller believed
	// it to be: someone else moved it. Nothing was stored. The caller stops;
	// who goes on loads the position anew.
	ErrPositionMoved = errors.New("the position was moved by another owner")
	// ErrCatalogBehind says that a row, a version in it or its partition follows a
	// later catalogue epoch than the writer's. Nothing was stored. The writer needs
	// the later catalogue.
	ErrCatalogBehind = errors.New("gold follows a later catalogue epoch")
	// ErrOtherWindow says that a metric has rows of another width. Nothing was
	// stored. Either the writer's catalogue is behind, or it says a window that the
	// metric cannot have any more: only another catalogue mends it.
	ErrOtherWindow = errors.New("the metric has rows of another base window")
	// ErrRowFull says that a row would hold more versions than it may. Nothing
	// was stored. Only leaving versions out mends it.
	ErrRowFull = errors.New("the row holds too many versions")
	// ErrEpochConflict says that an epoch's number is taken by another
	// document.
	ErrEpochConflict = errors.New("the catalogue epoch exists with another hash")
	// ErrContended says that a flush was overtaken on the same rows again and
	// again. Nothing was stored; it can be tried again.
	ErrContended = errors.New("rows kept changing under the flush")
)

// CollisionError says that two series have the same id. Neither can be told
// from the other by it, so the later one is not stored.
type CollisionError struct {
	ID             int64
	Stored, Wanted reading.Series
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("series %s has id %d, which belongs to %s: rename one of them", e.Wanted, e.ID, e.Stored)
}

// IsRetryable reports whether the call that returned err can succeed later
// without a change: the connection was lost, the server is starting, stopping,
// full or not writable, or transactions got into each other's way. After a
// lost connection the write may have been stored all the same.
func IsRetryable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return retryableCode(pg.Code)
	}
	var (
		connect *pgconn.ConnectError
		network net.Error
	)
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, ErrContended), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, pgconn.ErrConnClosed):
		return true
	case errors.As(err, &connect):
		return true
	case errors.As(err, &network):
		_, local := network.(syscall.Errno) // by itself it is of a file of the caller's, which a flush looks into
		return !local
	}
	return pgconn.SafeToRetry(err)
}

// retryableCode tells by SQLSTATE; see "PostgreSQL Error Codes" in the manual.
func retryableCode(code string) bool {
	switch code {
	case "40001", "40P01", // serialization failure, deadlock
		"55P03",          // lock not available
		"57014",          // statement timeout, or cancelled by an operator
		"25006", "57P01", // read-only after a failover, admin shutdown
		"57P02", "57P03", "57P05", // crash shutdown, cannot connect now, idle session timeout
		"58000", "58030": // system and I/O error
		return true
	}
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53")
}

// IsRowFault reports whether a flush failed for what its rows hold: they cannot be
// stored whenever it is tried, and others of the flush can. It is a list of what
// is known to be that. Whatever else fails, such as a lost grant or a damaged
// file, is no reason to take readings for wrong.
func IsRowFault(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case pg.Code == "22023", pg.Code == "22P03", pg.Code == "22P04": // how rows are sent, not what they hold
			return false
		case strings.HasPrefix(pg.Code, "22"): // data exception
			return true
		}
		return strings.HasPrefix(pg.Code, "23") && keepsRows(pg.TableName) && !missingPartition(err)
	}
	_, collides := errors.AsType[*CollisionError](err)
	return collides || errors.Is(err, ErrRowFull)
}

// IsEntryFault is IsRowFault of entries of the quarantine: their keys hold names of
// any length, of which an index does not take all.
func IsEntryFault(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "54000" || IsRowFault(err)
}

// keepsRows reports whether a table keeps what rows hold: a constraint of another
// one says nothing about them.
func keepsRows(table string) bool {
	return table == "series" || strings.HasPrefix(table, "base") || strings.HasPrefix(table, "parts")
}

// mustRollBack reports whether the server certainly rolled the transaction
// back for the sake of others, so that it can be run again at once.
func mustRollBack(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}
