package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// LeaseConfig says which slots to share and with whom: with every instance that
// runs the same Stage on the same bucket.
type LeaseConfig struct {
	KV jetstream.KeyValue // the bucket, see OpenLeases; its TTL is that of a lease
	// Stage is one key token, such as "silver".
	Stage string
	// Slots is how many there are: the number of partitions, or 1 for one active
	// instance with hot standbys.
	Slots int
	// Instance names this process in the bucket and in logs. It need not be
	// unique: each run adds a token of its own.
	Instance string
	// Backoff is the delay before work that returned is started again.
	Backoff Backoff
	Logger  *slog.Logger
}

// OpenLeases opens the bucket [BucketLeases]; a missing one is [ErrNotProvisioned].
func OpenLeases(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	kv, err := bucket(ctx, js, BucketLeases)
	if err != nil {
		return nil, fmt.Errorf("open leases: %w", err)
	}
	return kv, nil
}

// RunLeases spreads the slots 0…Slots−1 evenly over the live instances and runs
// work for each slot that this one owns, in a goroutine of its own. It returns
// nil when ctx has ended, all work has been joined and the slots were released,
// so that a successor takes over at once; other errors are faults of cfg.
//
// The context of work ends when the slot goes to another instance, when its
// lease could not be renewed, or when ctx ends; work must then return. Its lease
// is kept until it has. Work that returns earlier, with an error or without, is
// started again after a backoff.
//
// An instance that dies is succeeded when its leases expire, some 1⅓ TTL after
// it renewed them last. A newcomer is given its share by those that have more;
// nobody who has no more than a fair share gives anything up.
//
// This serves liveness and locality only. A paused process may wake up and work
// on a slot that has a new owner. Nothing rests on that not happening: two
// owners of one partition produce the same content, and a position is moved by
// compare-and-set.
func RunLeases(ctx context.Context, cfg LeaseConfig, work func(ctx context.Context, slot int) error) error {
	if cfg.KV == nil || cfg.Slots < 1 || cfg.Stage == "" || strings.ContainsAny(cfg.Stage, ".*> \t") {
		return fmt.Errorf("run leases: stage %q with %d slots: want a bucket, one token and at least one slot",
			cfg.Stage, cfg.Slots)
	}
	cfg.Logger = logger(cfg.Logger).With("stage", cfg.Stage)
	ttl, err := leaseTTL(ctx, cfg)
	if err != nil {
		return err
	}
	l := &leases{
		cfg: cfg, log: cfg.Logger, work: work, ttl: ttl, interval: ttl / 3,
		id:      keyToken(cfg.Instance) + "-" + nuid.Next(),
		members: map[string]time.Time{},
		slots:   make([]slot, cfg.Slots),
		exited:  make(chan int, cfg.Slots),
	}
	if ctx.Err() == nil {
		l.run(ctx)
	}
	return nil
}

// leaseTTL asks the bucket until it answers. It returns without error when ctx
// ends first.
func leaseTTL(ctx context.Context, cfg LeaseConfig) (time.Duration, error) {
	backoff := Backoff{}
	for {
		opCtx, cancel := context.WithTimeout(ctx, apiTimeout)
		status, err := cfg.KV.Status(opCtx)
		cancel()
		switch {
		case ctx.Err() != nil:
			return 0, nil
		case err == nil && status.TTL() <= 0:
			return 0, fmt.Errorf("run leases: bucket %s has no TTL", cfg.KV.Bucket())
		case err == nil:
			return status.TTL(), nil
		}
		cfg.Logger.Warn("leases cannot start", "error", err)
		if backoff.Wait(ctx) != nil {
			return 0, nil
		}
	}
}

// keyToken replaces what may not stand in one token of a key.
func keyToken(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, s)
}

// leases is the state of one RunLeases; one goroutine owns it. Times are of the
// local clock: when something was heard of, never what another machine says.
type leases struct {
	cfg      LeaseConfig
	log      *slog.Logger
	work     func(context.Context, int) error
	ttl      time.Duration
	interval time.Duration // of renewals
	id       string

	watcher     jetstream.KeyWatcher
	cancelWatch context.CancelFunc
	ready       bool                 // the watcher has told all that there was
	told, echo  uint64               // revisions of our member key: written, and heard from the watcher
	members     map[string]time.Time // others, when last heard of
	slots       []slot
	exited      chan int // slots whose work has been joined; room for all
	stopping    bool
	trouble     string // last error that was logged
}

// slot is what is known of one slot. Ours: revision is not 0.
type slot struct {
	holder   string
	heard    time.Time // of the holder; zero: the slot is free
	revision uint64
	renewed  time.Time          // when the last successful renewal was sent
	cancel   context.CancelFunc // of our work; nil: none runs
	leaving  bool               // our work has been told to end
}

func (l *leases) run(ctx context.Context) {
	defer l.unwatch()
	tick := time.NewTicker(l.interval)
	defer tick.Stop()
	opCtx := context.WithoutCancel(ctx) // releasing goes on after ctx has ended
	done := ctx.Done()
	l.renew(opCtx)
	for !l.stopping || l.busy() {
		select {
		case entry, ok := <-l.updates():
			if !ok {
				l.unwatch()
				continue
			}
			if !l.hear(entry) {
				continue
			}
		case <-tick.C:
			l.renew(opCtx)
		case i := <-l.exited:
			l.release(opCtx, i)
		case <-done:
			done = nil
			l.stop(opCtx)
		}
		l.balance(ctx)
	}
}

// busy reports whether work has not been joined yet.
func (l *leases) busy() bool {
	for i := range l.slots {
		if l.slots[i].cancel != nil {
			return true
		}
	}
	return false
}

// stop leaves the members first, so that the others already want the slots that
// are released one by one.
func (l *leases) stop(ctx context.Context) {
	l.stopping = true
	opCtx, cancel := context.WithTimeout(ctx, l.interval)
	defer cancel()
	l.note("leave", l.cfg.KV.Delete(opCtx, l.memberKey(l.id)))
	for i := range l.slots {
		l.leave(i)
	}
}

// start runs the work of a slot that is ours.
func (l *leases) start(ctx context.Context, i int) {
	slotCtx, cancel := context.WithCancel(ctx)
	l.slots[i].cancel = cancel
	backoff := l.cfg.Backoff
	go func() {
		defer func() { l.exited <- i }()
		defer cancel()
		l.keepWorking(slotCtx, i, backoff)
	}()
}

// settled is how long work must run for its next failure to be a new one.
const settled = time.Minute

// keepWorking restarts work until the slot's context ends. It logs an error when
// it differs from the one before.
func (l *leases) keepWorking(ctx context.Context, i int, backoff Backoff) {
	last := ""
	for ctx.Err() == nil {
		started := time.Now()
		err := l.work(ctx, i)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, ctx.Err()) {
				l.log.Warn("work ended with an error", "slot", i, "error", err)
			}
			return
		}
		if time.Since(started) > settled {
			backoff.Reset()
			last = ""
		}
		if text := errText(err); text != last {
			last = text
			l.log.Warn("work stopped, it will be started again", "slot", i, "error", text)
		}
		if backoff.Wait(ctx) != nil {
			return
		}
	}
}

// leave tells the work of a slot to end; release follows when it has.
func (l *leases) leave(i int) {
	if s := &l.slots[i]; s.cancel != nil {
		s.leaving = true
		s.cancel()
	}
}

// release gives a slot back whose work has been joined. The key is deleted only
// in our own revision: after a lost lease it is not ours.
func (l *leases) release(ctx context.Context, i int) {
	s := &l.slots[i]
	s.cancel, s.leaving = nil, false
	if s.revision == 0 {
		return
	}
	opCtx, cancel := context.WithTimeout(ctx, l.interval)
	defer cancel()
	err := l.cfg.KV.Delete(opCtx, l.slotKey(i), jetstream.LastRevision(s.revision))
	if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		l.note("release", err)
	}
	s.revision, s.holder, s.heard = 0, "", time.Time{}
	l.log.Info("slot released", "slot", i)
}
