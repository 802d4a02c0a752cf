package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/fleet"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// world is one run: servers, services, who feeds them.
type world struct {
	Config
	report     *Report
	deployment deployment
	server     *server
	postgres   *postgres
	main       *set
	other      *set       // nil unless BothOwn
	services   []*service // of both
	feeder     *feeder

	brokerTurn, postgresTurn, secondTurn sync.Mutex
	joined, lost                         int
}

const (
	together = 2           // faults that may go on at once
	breath   = time.Second // at most between two, so that services come to work
)

// database holds the run's gold, reference what it is compared with.
const (
	database  = "chaos"
	reference = "reference"
)

// openWorld starts the servers and prepares the services.
func openWorld(ctx context.Context, c Config, r *Report) (w *world, err error) {
	w = &world{Config: c, report: r}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(context.WithoutCancel(ctx)))
		}
	}()
	logs, disk := filepath.Join(c.Dir, "logs"), filepath.Join(c.Dir, "postgres")
	if err = makeDirs(c.Dir, logs, disk); err != nil {
		return nil, err
	}
	ports := &ports{given: make(map[int]bool)}
	if w.server, err = newServer(&w.Config, filepath.Join(c.Dir, "nats"), ports); err != nil {
		return nil, err
	}
	w.postgres = &postgres{dir: disk}
	if c.Disk > 0 {
		if w.postgres.disk, err = mount(disk, c.Disk); err != nil {
			w.report.Left[FullDisk] = err.Error()
		}
	} else {
		w.report.Left[FullDisk] = "Postgres is on a disk that others use"
	}
	if err = w.server.open(ctx); err != nil {
		return nil, err
	}
	if err = w.postgres.open(ctx); err != nil {
		return nil, err
	}
	w.deployment = deployment{
		binaries: c.Binaries, dir: logs, server: w.server, postgres: w.postgres, database: database,
		network: newNetwork(ports), ports: ports,
	}
	if err = w.postgres.create(ctx, database); err != nil {
		return nil, err
	}
	if err = w.deployment.migrate(ctx); err != nil {
		return nil, err
	}
	if err = w.deployment.hold(ctx); err != nil {
		return nil, err
	}
	err = w.prepare()
	return w, err
}

// prepare makes the sets of services.
func (w *world) prepare() (err error) {
	if w.main, err = w.deployment.newSet("first", append(append([]string{}, stages...), "query")); err != nil {
		return err
	}
	w.services = w.main.services
	if !w.BothOwn {
		return nil
	}
	// Leases of another group: both sets own everything.
	if w.other, err = w.deployment.newSet("second", stages, "ENERGY_LEASE_GROUP=second"); err != nil {
		return err
	}
	w.services = append(append([]*service{}, w.services...), w.other.services...)
	return nil
}

// fight feeds the platform and does everything to it that is planned, then waits until
// it has caught up.
func (w *world) fight(ctx context.Context, f *fleet.Fleet) error {
	w.feeder = newFeeder(w.server, f, &w.Config)
	for _, s := range w.sets() {
		if err := s.start(); err != nil {
			return err
		}
	}
	if err := w.working(ctx); err != nil {
		return err
	}
	began := time.Now()
	watched, stop := context.WithCancel(ctx)
	defer stop()
	guard, watched := errgroup.WithContext(watched)
	guard.Go(func() error { return w.watch(watched) })
	guard.Go(func() error {
		defer stop()
		both, ctx := errgroup.WithContext(watched)
		both.Go(func() error { return w.feeder.run(ctx, f) })
		both.Go(func() error { return w.faults(ctx) })
		if err := both.Wait(); err != nil {
			return err
		}
		if err := w.feeder.finish(watched); err != nil {
			return err
		}
		if err := w.caughtUp(watched, w.main); err != nil {
			return err
		}
		return w.swept(watched)
	})
	err := guard.Wait()
	w.report.Took = time.Since(began)
	w.report.Acked, w.report.Lost, w.report.Refused = w.feeder.count, w.lost, int(w.feeder.refused.Load())
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// working waits until all services are well and at work.
func (w *world) working(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	for _, s := range w.sets() {
		if err := s.working(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) sets() []*set {
	if w.other == nil {
		return []*set{w.main}
	}
	return []*set{w.main, w.other}
}

// faults does what is planned, each after its share of the messages. What falls into the
// second half befalls streams that have lost their beginnings.
func (w *world) faults(ctx context.Context) error {
	plan := w.plan()
	defer w.feeder.gate.let(1)
	struck, ctx := errgroup.WithContext(ctx)
	struck.SetLimit(together)
	for i, fault := range plan {
		if w.report.Left[fault] != "" {
			continue
		}
		w.feeder.gate.let(float64(i+1) / float64(len(plan)+1))
		if err := w.feeder.gate.reached(ctx, float64(i)/float64(len(plan)+1)); err != nil {
			break
		}
		if i > 0 && i == len(plan)/2 {
			if err := w.swept(ctx); err != nil {
				return errors.Join(err, struck.Wait())
			}
		}
		d := dice(w.Seed, uint64(100+i))
		if err := while(ctx, d, 0, breath); err != nil {
			break
		}
		struck.Go(func() error {
			limited, cancel := context.WithTimeout(ctx, w.Patience)
			defer cancel()
			began := time.Now()
			err := w.strike(limited, fault, d)
			if err != nil {
				return fmt.Errorf("fault %d, %s: %w", i, fault, err)
			}
			w.Logger.DebugContext(ctx, "fault is over", "number", i, "fault", fault.String(), "took", time.Since(began))
			return nil
		})
		w.report.Done[fault]++
	}
	return struck.Wait()
}

// watch fails when a process ends by itself, and notes how much memory each takes.
func (w *world) watch(ctx context.Context) error {
	for pause(ctx, 10*pollPause) == nil {
		if err := w.server.Ended(); err != nil {
			return err
		}
		for _, s := range w.services {
			if err := s.Ended(); err != nil {
				return err
			}
			s.Usage() // keeps the peak
		}
	}
	return nil
}

// caughtUp waits until gold has everything, and nothing is missing by the sums of the
// stages. Of a stream that lost both its beginning and its tail these cannot tell: there
// the run's own account does.
func (w *world) caughtUp(ctx context.Context, s *set) error {
	ctx, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	return caughtUp(ctx, s, w.OlderTails == 0)
}

func caughtUp(ctx context.Context, s *set, sums bool) error {
	client, conn, err := s.client()
	if err != nil {
		return err
	}
	defer conn.Close()
	var status *energyv1.GetPipelineStatusResponse
	return until(ctx, func() error {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		now, err := client.GetPipelineStatus(limited, &energyv1.GetPipelineStatusRequest{})
		if err != nil {
			return errors.Join(err, fmt.Errorf("the last status was %v", status))
		}
		status = now
		switch {
		case !status.GetCaughtUp():
			return fmt.Errorf("gold does not catch up: %v", status)
		case sums && status.GetMissing() > 0:
			return done{fmt.Errorf("%d readings are missing: %v", status.GetMissing(), status)}
		}
		return nil
	})
}

// close ends everything and notes what it took.
func (w *world) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	var errs []error
	for _, s := range w.sets() {
		if s != nil {
			errs = append(errs, s.close(ctx, w.postgres))
		}
	}
	if w.server != nil {
		errs = append(errs, w.server.kill(ctx))
	}
	if w.postgres != nil && w.postgres.server != nil {
		errs = append(errs, w.postgres.stop(ctx))
	}
	if w.postgres != nil && w.postgres.disk != nil {
		errs = append(errs, w.postgres.disk.unmount())
	}
	return errors.Join(errs...)
}
