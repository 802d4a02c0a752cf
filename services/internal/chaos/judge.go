package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/pkg/goldstore"
)

// judge asks whether the platform, which has caught up, kept its promises.
func (w *world) judge(ctx context.Context, f *fleet.Fleet) error {
	for _, s := range w.sets() {
		if err := s.stop(ctx); err != nil {
			return err
		}
	}
	if err := w.remember(); err != nil {
		return err
	}
	if err := w.countMoves(); err != nil {
		return err
	}
	g, err := readGold(ctx, w.postgres.url(database))
	if err != nil {
		return fmt.Errorf("read gold: %w", err)
	}
	if err := g.agree(f); err != nil {
		return fmt.Errorf("gold is not what the fleet knows to be true: %w", err)
	}
	if err := w.account(ctx, g); err != nil {
		return err
	}
	if w.lost == 0 { // otherwise gold has stamps of messages that are no more
		if err := w.deployment.tool(ctx, "verify"); err != nil {
			return err
		}
	}
	if err := w.compute(ctx); err != nil {
		return fmt.Errorf("compute gold anew: %w", err)
	}
	view := "gold.content"
	if w.lost > 0 {
		view = "gold.values"
	}
	w.report.Rows, err = w.equal(ctx, view)
	return err
}

// remember takes the memory of the services into the report, and holds it to the limit.
func (w *world) remember() error {
	var errs []error
	for _, s := range w.services {
		peak := s.Usage().Peak
		w.report.Memory[s.Name] = peak
		if w.MemoryLimit > 0 && peak > w.MemoryLimit {
			errs = append(errs, fmt.Errorf("%s took %d MiB of memory, at most %d are allowed",
				s.Name, peak>>20, w.MemoryLimit>>20))
		}
	}
	return errors.Join(errs...)
}

// countMoves reads the logs for what services that own the same say of each other.
func (w *world) countMoves() error {
	logs, err := filepath.Glob(filepath.Join(w.deployment.dir, "*.log"))
	for _, log := range logs {
		text, readErr := os.ReadFile(log)
		err = errors.Join(err, readErr)
		for _, moved := range []error{broker.ErrPositionMoved, goldstore.ErrPositionMoved} {
			w.report.Moved += bytes.Count(text, []byte(moved.Error()))
		}
	}
	if err == nil && w.BothOwn && w.report.Moved == 0 {
		err = errors.New("two sets of services never moved a position under each other: they have not owned the same")
	}
	return err
}

// compute has gold made anew from the stored readings, beside what it was made by.
func (w *world) compute(ctx context.Context) error {
	if err := w.server.Stop(ctx); err != nil {
		return err
	}
	dir := filepath.Join(w.Dir, "reference")
	second, err := newServer(&w.Config, dir, w.deployment.ports)
	if err != nil {
		return err
	}
	if err := w.server.copyTo(second.store); err != nil {
		return err
	}
	if err := second.open(ctx); err != nil {
		return err
	}
	alone := w.deployment
	alone.server, alone.database, alone.dir = second, reference, dir
	err = w.postgres.create(ctx, reference)
	if err == nil {
		err = second.onlyReadings(ctx)
	}
	if err == nil {
		err = alone.migrate(ctx)
	}
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, w.Patience)
		defer cancel()
		err = w.Reference(limited, Stored{
			NATSURL: second.url(), DatabaseURL: w.postgres.url(reference), Binaries: w.Binaries, Dir: dir, deployment: &alone,
		})
	}
	return errors.Join(err, second.kill(ctx))
}

// equal compares a view of gold with that of the reference, and returns the number of rows.
func (w *world) equal(ctx context.Context, view string) (rows int, err error) {
	want, stopWant := iter.Pull2(lines(ctx, w.postgres.url(reference), view))
	defer stopWant()
	got, stopGot := iter.Pull2(lines(ctx, w.postgres.url(database), view))
	defer stopGot()
	for {
		wanted, errWant, more := want()
		is, errGot, moreGot := got()
		if err := errors.Join(errWant, errGot); err != nil {
			return rows, fmt.Errorf("compare %s: %w", view, err)
		}
		if more != moreGot || wanted != is {
			return rows, fmt.Errorf("%s differs at row %d from that of the reference:\nhas %s\nnot %s",
				view, rows, is, wanted)
		}
		if !more {
			break
		}
		rows++
	}
	if rows == 0 {
		return 0, fmt.Errorf("%s has no rows", view)
	}
	return rows, nil
}

// lines yields the rows of a view of gold as text, in the order of their keys.
func lines(ctx context.Context, url, view string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			yield("", err)
			return
		}
		defer conn.Close(ctx)
		rows, err := conn.Query(ctx, "SELECT v::text FROM "+view+" v ORDER BY entity, metric, unit, start, width, v::text")
		if err != nil {
			yield("", err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil || !yield(line, err) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield("", err)
		}
	}
}
