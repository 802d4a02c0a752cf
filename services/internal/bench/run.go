package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/localpg"
	"github.com/energy-platform/energy/services/internal/rig"
)

// run is one measurement.
type run struct {
	workload    *Workload
	binaries    string
	dir         string
	natsURL     string
	databaseURL string
	profiles    *profiles // nil when none are taken
}

// measured is what one run took.
type measured struct {
	wall     time.Duration
	services rig.Usage
	broker   rig.Usage
	postgres rig.Usage
	wal      int64   // bytes
	speed    float64 // of the processor, in units of calibration a second of its time
}

// perMillion returns processor seconds per million readings.
func perMillion(cpu time.Duration, readings int) float64 {
	return cpu.Seconds() / float64(readings) * 1e6
}

// meter makes measurements, one after the other.
type meter struct {
	binaries string
	dir      string // of the run
	postgres *localpg.Server
	profiles string // folder that profiles go to; none when empty
	runs     int
}

// measure runs a subject once over a fresh broker and a fresh database.
func (all *meter) measure(ctx context.Context, w *Workload, of func(*run) subject) (m measured, err error) {
	if err := os.MkdirAll(all.dir, 0o755); err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(all.dir)) }()
	all.runs++
	name := fmt.Sprintf("run_%d", all.runs)
	r := &run{workload: w, binaries: all.binaries, dir: all.dir, databaseURL: all.postgres.URL(name)}
	if all.profiles != "" {
		r.profiles = &profiles{dir: filepath.Join(all.profiles, w.Name), listen: make(map[string]string)}
	}
	if err := all.postgres.EnsureDatabase(ctx, name); err != nil {
		return m, err
	}
	broker, err := r.startBroker()
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, broker.Stop(context.WithoutCancel(ctx))) }()
	s := of(r)
	defer func() { err = errors.Join(err, s.stop(context.WithoutCancel(ctx))) }()
	if err := s.prepare(ctx); err != nil {
		return m, err
	}
	if err := s.hold(); err != nil {
		return m, err
	}
	if err := r.preload(ctx); err != nil {
		return m, errors.Join(err, s.release())
	}
	db, err := pgx.Connect(ctx, r.databaseURL)
	if err != nil {
		return m, errors.Join(err, s.release())
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	if _, err := db.Exec(ctx, "CHECKPOINT"); err != nil {
		return m, errors.Join(err, s.release())
	}
	return r.clock(ctx, s, db, servers{broker, all.postgres})
}

// servers are what a subject works with.
type servers struct {
	broker   *rig.Process
	postgres *localpg.Server
}

// usage is what the servers and a subject have taken so far.
func (of *servers) usage(s subject) measured {
	return measured{
		services: s.usage(), broker: of.broker.Usage(), postgres: rig.UsageOfTree(of.postgres.PID()),
	}
}

// clock lets the subject go and waits until all is in Postgres.
func (r *run) clock(ctx context.Context, s subject, db *pgx.Conn, of servers) (m measured, err error) {
	before := of.usage(s)
	if before.wal, err = walPosition(ctx, db); err != nil {
		return m, errors.Join(err, s.release())
	}
	speed := sampleSpeed()
	began := time.Now()
	if err := s.release(); err != nil {
		return m, err
	}
	if r.profiles != nil {
		end := r.profiles.take(ctx)
		defer func() { err = errors.Join(err, end()) }()
	}
	for {
		n, err := s.done(ctx, db)
		err = errors.Join(s.failed(), of.broker.Ended(), err)
		if err != nil {
			return m, err
		}
		if n >= int64(r.workload.Readings) {
			break
		}
		if time.Since(began) > patience {
			return m, fmt.Errorf("%s: %d of %d readings are in Postgres after %s",
				r.workload.Name, n, r.workload.Readings, patience)
		}
		if err := pause(ctx, pollPause); err != nil {
			return m, err
		}
	}
	wall, after := time.Since(began), of.usage(s)
	m = measured{
		wall: wall, speed: speed.stop(), services: after.services.Minus(before.services),
		broker: after.broker.Minus(before.broker), postgres: after.postgres.Minus(before.postgres),
	}
	wal, err := walPosition(ctx, db)
	m.wal = wal - before.wal
	return m, err
}

const patience = 4 * time.Minute

func walPosition(ctx context.Context, db *pgx.Conn) (at int64, err error) {
	err = db.QueryRow(ctx, "SELECT (pg_current_wal_lsn() - '0/0')::bigint").Scan(&at)
	return at, err
}

// startBroker starts a nats-server with empty streams.
func (r *run) startBroker() (*rig.Process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	r.natsURL = "nats://" + address
	config := fmt.Sprintf("listen: %q\nmax_payload: 8388608\njetstream { store_dir: %q }\n",
		address, filepath.Join(r.dir, "streams"))
	path := filepath.Join(r.dir, "nats.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	broker := r.process("nats-server", []string{"--config", path})
	if err := broker.Start(); err != nil {
		return nil, err
	}
	return broker, nil
}
