package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
)

// Fault is what is done to the platform.
type Fault uint8

// The faults.
const (
	KillService     Fault = iota // SIGKILL
	KillBroker                   // SIGKILL
	KillPostgres                 // SIGKILL of the postmaster
	PauseService                 // SIGSTOP, later SIGCONT
	CutLine                      // connections of a service are cut and do not come about
	SlowLine                     // connections of a service are delayed
	RestartBroker                // in order
	RestartPostgres              // in order
	SecondSet                    // a second set of services joins, and ends or is killed
	Duplicates                   // a flood of what was sent before
	Rubbish                      // hostile payloads
	FullStream                   // READINGS takes nothing more for a while
	FullDisk                     // Postgres can write nothing for a while
	OlderTail                    // the broker is restored to an older state
	Outage                       // Postgres is away under load, and everybody is told
	faultCount
)

var faultNames = [faultCount]string{
	"SIGKILL of a service", "SIGKILL of the broker", "SIGKILL of Postgres", "SIGSTOP of a service",
	"connections cut", "connections delayed", "broker restarted", "Postgres restarted", "second set of services",
	"flood of duplicates", "hostile payloads", "READINGS full", "disk of Postgres full", "broker of an older tail",
	"Postgres away under load",
}

// String names the fault.
func (f Fault) String() string {
	if f < faultCount {
		return faultNames[f]
	}
	return fmt.Sprintf("fault(%d)", uint8(f))
}

// plan returns what is done, in order.
func (c *Config) plan() (faults []Fault) {
	const serversShare = 8 // one kill in so many is of the broker, one of Postgres
	add := func(f Fault, n int) {
		for range n {
			faults = append(faults, f)
		}
	}
	servers := (c.Kills + serversShare - 1) / serversShare
	servers = min(servers, c.Kills/2)
	add(KillBroker, servers)
	add(KillPostgres, servers)
	add(KillService, c.Kills-2*servers)
	for f := PauseService; f < OlderTail; f++ {
		add(f, c.Others)
	}
	add(OlderTail, c.OlderTails)
	if c.Outage > 0 {
		add(Outage, 1)
	}
	dice(c.Seed, 2).Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	return faults
}

// strike does a fault and returns when it is over.
func (w *world) strike(ctx context.Context, f Fault, d *rand.Rand) error {
	switch f {
	case KillService, PauseService, CutLine, SlowLine:
		one := w.services[d.IntN(len(w.services))]
		one.turn.Lock()
		defer one.turn.Unlock()
		return w.strikeService(ctx, f, one, d)
	case KillBroker, RestartBroker, FullStream, OlderTail:
		w.brokerTurn.Lock()
		defer w.brokerTurn.Unlock()
		return w.strikeBroker(ctx, f, d)
	case KillPostgres, RestartPostgres, FullDisk, Outage:
		w.postgresTurn.Lock()
		defer w.postgresTurn.Unlock()
		return w.strikePostgres(ctx, f, d)
	case SecondSet:
		w.secondTurn.Lock()
		defer w.secondTurn.Unlock()
		return w.join(ctx, d)
	case Duplicates:
		return w.feeder.flood(ctx, between(d, 50, 300), func() *message { return w.feeder.old(d) })
	case Rubbish:
		return w.feeder.flood(ctx, between(d, 5, 20), func() *message { return rubbish(d) })
	default:
		return fmt.Errorf("%s cannot be done", f)
	}
}

func between(d *rand.Rand, least, most int) int { return least + d.IntN(most-least+1) }

// while is some time between two bounds.
func while(ctx context.Context, d *rand.Rand, least, most time.Duration) error {
	return pause(ctx, least+time.Duration(d.Int64N(int64(most-least)+1)))
}

func (w *world) strikeService(ctx context.Context, f Fault, s *service, d *rand.Rand) error {
	lines := []*line{s.nats}
	if s.store != nil {
		lines = append(lines, s.store)
	}
	l := lines[d.IntN(len(lines))]
	switch f {
	case KillService:
		if err := s.End(ctx, syscall.SIGKILL); err != nil {
			return err
		}
		if err := while(ctx, d, 0, 300*time.Millisecond); err != nil {
			return err
		}
		return s.Start()
	case PauseService:
		if err := s.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		ended := while(ctx, d, 200*time.Millisecond, 3*time.Second) // about a lease's time
		if err := s.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		return ended
	case CutLine:
		l.cut()
		if err := while(ctx, d, 0, 1500*time.Millisecond); err != nil {
			return err
		}
		return l.mend(ctx)
	default:
		if err := l.slow(time.Duration(between(d, 20, 200)) * time.Millisecond); err != nil {
			return err
		}
		if err := while(ctx, d, 500*time.Millisecond, 2*time.Second); err != nil {
			return err
		}
		return l.mend(ctx)
	}
}

func (w *world) strikeBroker(ctx context.Context, f Fault, d *rand.Rand) error {
	switch f {
	case KillBroker:
		if err := w.server.kill(ctx); err != nil {
			return err
		}
	case RestartBroker:
		if err := w.server.End(ctx, syscall.SIGTERM); err != nil {
			return err
		}
	case FullStream:
		return w.fillStream(ctx, d)
	default:
		return w.olderTail(ctx, d)
	}
	if err := while(ctx, d, 0, 500*time.Millisecond); err != nil {
		return err
	}
	return w.server.open(ctx)
}

func (w *world) strikePostgres(ctx context.Context, f Fault, d *rand.Rand) error {
	switch f {
	case KillPostgres:
		if err := w.postgres.kill(ctx); err != nil {
			return err
		}
	case RestartPostgres:
		if err := w.postgres.stop(ctx); err != nil {
			return err
		}
	case Outage:
		return w.outage(ctx)
	default:
		if err := w.postgres.disk.fill(); err != nil {
			return err
		}
		if err := while(ctx, d, 500*time.Millisecond, 2*time.Second); err != nil {
			return err
		}
		if err := w.postgres.disk.empty(); err != nil {
			return err
		}
		return w.postgres.revive(ctx)
	}
	if err := while(ctx, d, 0, 500*time.Millisecond); err != nil {
		return err
	}
	return w.postgres.open(ctx)
}

// join has a second set of services take its share for a while.
func (w *world) join(ctx context.Context, d *rand.Rand) error {
	w.joined++
	second, err := w.deployment.newSet(fmt.Sprintf("joiner%d", w.joined), stages)
	if err != nil {
		return err
	}
	err = second.start()
	if err == nil {
		err = while(ctx, d, time.Second, 4*time.Second)
	}
	if err == nil && d.IntN(2) == 0 {
		err = second.stop(ctx)
	}
	return errors.Join(err, second.close(ctx, w.postgres))
}

// fillStream leaves READINGS no room until a producer was refused, and somewhat longer.
func (w *world) fillStream(ctx context.Context, d *rand.Rand) error {
	conn, js, err := w.server.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	w.feeder.turn.Lock() // the limit must not fall below what is stored
	stream, err := js.Stream(ctx, broker.StreamReadings)
	if err != nil {
		w.feeder.turn.Unlock()
		return err
	}
	config := stream.CachedInfo().Config
	limit := config.MaxBytes
	config.MaxBytes = int64(stream.CachedInfo().State.Bytes) + slackBytes
	_, err = js.UpdateStream(ctx, config)
	w.feeder.turn.Unlock()
	if err != nil {
		return err
	}
	before := w.feeder.refused.Load()
	flooded := make(chan error, 1)
	letters, own := between(d, 50, 100), rand.New(rand.NewPCG(d.Uint64(), d.Uint64())) // dice are one goroutine's
	go func() {
		flooded <- w.feeder.flood(ctx, letters, func() *message { return w.feeder.old(own) })
	}()
	refusal := until(ctx, func() error {
		if w.feeder.refused.Load() == before {
			return fmt.Errorf("READINGS has %d bytes of room left and refuses nobody", slackBytes)
		}
		return nil
	})
	if refusal == nil {
		refusal = while(ctx, d, 0, time.Second)
	}
	config.MaxBytes = limit
	if _, err := js.UpdateStream(ctx, config); err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	return <-flooded
}

// slackBytes is the room of a stream that is full.
const slackBytes = 4 << 10

// olderTail copies the broker's streams, lets some time pass, and puts them back.
func (w *world) olderTail(ctx context.Context, d *rand.Rand) error {
	copied := filepath.Join(w.Dir, "copy")
	swap := func(change func() error) error {
		w.feeder.turn.Lock()
		defer w.feeder.turn.Unlock()
		if err := change(); err != nil {
			return err
		}
		return w.server.open(ctx)
	}
	err := swap(func() error {
		if err := w.server.End(ctx, syscall.SIGTERM); err != nil {
			return err
		}
		w.feeder.mark()
		return w.server.copyTo(copied)
	})
	if err != nil {
		return err
	}
	if err := while(ctx, d, time.Second, 3*time.Second); err != nil {
		return err
	}
	return swap(func() error {
		if err := w.server.kill(ctx); err != nil {
			return err
		}
		w.lost += w.feeder.lose()
		return w.server.restore(copied)
	})
}
