package generate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/energy-platform/energy/pkg/fleet"
)

// Options say what to write.
type Options struct {
	Out    string // folder
	Force  bool   // overwrite
	Format Format // of the messages in deliveries.jsonl.gz
	Batch  int    // deliveries a message
	// Progress is told how many of passes × Fleet.Slots steps are done; nil: nobody is.
	Progress *atomic.Int64
}

// passes is how often Run goes through a fleet; each is Fleet.Slots steps of
// progress, more or less.
const passes = 4

// Run writes a fleet's files and returns its totals. Files of an earlier run are
// refused unless Force is set. When it fails, none is left.
func Run(ctx context.Context, f *fleet.Fleet, o Options) (fleet.Totals, error) {
	if o.Batch < 1 {
		return fleet.Totals{}, fmt.Errorf("batch: %d is not positive", o.Batch)
	}
	if o.Progress == nil {
		o.Progress = new(atomic.Int64)
	}
	out := folder(o.Out)
	if err := out.prepare(o.Force); err != nil {
		return fleet.Totals{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := run{ctx: ctx, f: f, out: out, o: o}
	var writers sync.WaitGroup
	for _, write := range []func(*run) error{(*run).readings, (*run).deliveries, (*run).truth, (*run).numbers} {
		writers.Go(func() {
			if err := write(&r); err != nil {
				cancel(err) // the first one counts, the others follow from it
			}
		})
	}
	writers.Wait()
	if err := context.Cause(ctx); err != nil {
		return fleet.Totals{}, errors.Join(err, out.discard())
	}
	return r.totals, out.finish()
}

// run is one call of Run.
type run struct {
	ctx    context.Context //nolint:containedctx // of one call, ends with it
	f      *fleet.Fleet
	out    folder
	o      Options
	totals fleet.Totals
}

// stride is how many steps are taken between looks at the context.
const stride = 1 << 12

// pace counts the steps of a pass.
type pace struct {
	r *run
	n int64
}

// step counts n steps. It fails when the run is over.
func (p *pace) step(n int) error {
	if p.n += int64(n); p.n < stride {
		return nil
	}
	p.r.o.Progress.Add(p.n)
	p.n = 0
	return context.Cause(p.r.ctx)
}

// readings writes what can be read as readings a line each, and the rest.
func (r *run) readings() error {
	return r.out.write(rubbishFile, func(rubbish io.Writer) error {
		return r.out.write(readingsFile, func(readings io.Writer) error {
			var line []byte
			p := pace{r: r}
			for d := range r.f.Deliveries() {
				to := readings
				if d.Undecodable() {
					to = rubbish
					line = appendRecord(line[:0], &Message{d.Defect.ContentType, d.Payload, 1})
				} else {
					line = append(d.AppendJSON(line[:0]), '\n')
				}
				if _, err := to.Write(line); err != nil {
					return err
				}
				if err := p.step(1); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// deliveries writes the messages.
func (r *run) deliveries() error {
	return r.out.write(deliveriesFile, func(w io.Writer) error {
		var line []byte
		p := pace{r: r}
		for m := range Messages(r.f, r.o.Format, r.o.Batch) {
			line = appendRecord(line[:0], &m)
			if _, err := w.Write(line); err != nil {
				return err
			}
			if err := p.step(m.Deliveries); err != nil {
				return err
			}
		}
		return nil
	})
}

// truth writes the answers.
func (r *run) truth() error {
	return r.out.write(windowsFile, func(windows io.Writer) error {
		return r.out.write(daysFile, func(days io.Writer) error {
			_, errWindow := io.WriteString(windows, windowsHead)
			_, errDay := io.WriteString(days, daysHead)
			if err := errors.Join(errWindow, errDay); err != nil {
				return err
			}
			series := r.f.Series()
			var line []byte
			p := pace{r: r}
			for row := range r.f.Rows() {
				to := windows
				if row.Span == fleet.Day {
					to = days
				}
				line = appendRow(line[:0], series[row.Series], &row)
				if _, err := to.Write(line); err != nil {
					return err
				}
				if err := p.step(int(row.Count) * int(1-row.Span)); err != nil { // a reading is in a day, too
					return err
				}
			}
			return nil
		})
	})
}

// numbers writes what there is of everything.
func (r *run) numbers() error {
	r.totals = r.f.Totals()
	r.o.Progress.Add(r.f.Slots())
	err := r.out.write(quarantineFile, func(w io.Writer) error { return writeQuarantine(w, &r.totals) })
	if err != nil {
		return err
	}
	return r.out.write(fleetFile, func(w io.Writer) error { return writeManifest(w, r.f, &r.totals) })
}
