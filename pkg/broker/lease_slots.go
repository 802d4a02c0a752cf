package broker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	memberToken = ".member."
	slotToken   = ".slot."
)

func (l *leases) memberKey(id string) string { return l.cfg.Stage + memberToken + id }
func (l *leases) slotKey(i int) string       { return l.cfg.Stage + slotToken + strconv.Itoa(i) }

// updates is nil, which blocks, while there is no watcher.
func (l *leases) updates() <-chan jetstream.KeyValueEntry {
	if l.watcher == nil {
		return nil
	}
	return l.watcher.Updates()
}

// watch starts the watcher, within one interval. nats.go keeps a goroutine until
// the watcher's context ends, so unwatch ends it.
func (l *leases) watch(ctx context.Context) error {
	ctx, l.cancelWatch = context.WithCancel(ctx)
	timeout := time.AfterFunc(l.interval, l.cancelWatch)
	defer timeout.Stop()
	w, err := l.cfg.KV.Watch(ctx, l.cfg.Stage+".>")
	if err != nil {
		l.cancelWatch()
		return err
	}
	l.watcher = w
	return nil
}

// unwatch stops the watcher and lets its callback end, which may be waiting to
// hand over an entry. The bound is for a client that forgets to close the channel.
func (l *leases) unwatch() {
	if l.watcher == nil {
		return
	}
	l.cancelWatch()
	_ = l.watcher.Stop()
	timeout := time.NewTimer(time.Second)
	defer timeout.Stop()
	for open := true; open; {
		select {
		case _, open = <-l.watcher.Updates():
		case <-timeout.C:
			open = false
		}
	}
	l.watcher, l.ready = nil, false
}

// hear takes in one entry and reports whether the balance may have changed. A
// renewal changes nothing. Expiry of a key sends no entry: silence tells.
func (l *leases) hear(entry jetstream.KeyValueEntry) bool {
	if entry == nil {
		l.ready = true
		return true
	}
	gone := entry.Operation() != jetstream.KeyValuePut
	if id, ok := strings.CutPrefix(entry.Key(), l.memberKey("")); ok {
		_, known := l.members[id]
		switch {
		case id == l.id:
			l.echo = max(l.echo, entry.Revision())
			return false
		case gone:
			delete(l.members, id)
			return known
		default:
			l.members[id] = time.Now()
			return !known
		}
	}
	digits, ok := strings.CutPrefix(entry.Key(), l.cfg.Stage+slotToken)
	i, err := strconv.Atoi(digits)
	if !ok || err != nil || i < 0 || i >= len(l.slots) {
		return false
	}
	return l.hearSlot(i, entry, gone)
}

func (l *leases) hearSlot(i int, entry jetstream.KeyValueEntry, gone bool) bool {
	s := &l.slots[i]
	holder := string(entry.Value())
	if s.revision != 0 {
		if entry.Revision() <= s.revision || holder == l.id {
			return false // old news, or our own
		}
		l.lose(i, "taken by "+holder)
	}
	if gone {
		s.holder, s.heard = "", time.Time{}
		return true
	}
	changed := s.holder != holder
	s.holder, s.heard = holder, time.Now()
	return changed
}

// renew says that this instance lives and keeps what it holds. All of it has one
// interval of time.
func (l *leases) renew(ctx context.Context) {
	opCtx, cancel := context.WithTimeout(ctx, l.interval)
	defer cancel()
	if !l.stopping {
		if l.echo < l.told {
			// The watcher has not shown us our own renewal: after a broker restart
			// nats.go takes up to 20 s to notice that it hears nothing.
			l.unwatch()
		}
		if l.watcher == nil {
			l.note("watch", l.watch(ctx))
		}
		revision, err := l.cfg.KV.PutString(opCtx, l.memberKey(l.id), l.id)
		l.note("renew", err)
		l.told = max(l.told, revision)
	}
	for i := range l.slots {
		if l.slots[i].revision != 0 {
			l.renewSlot(opCtx, i)
		}
	}
}

func (l *leases) renewSlot(ctx context.Context, i int) {
	s := &l.slots[i]
	sent := time.Now()
	revision, err := l.cfg.KV.Update(ctx, l.slotKey(i), []byte(l.id), s.revision)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		// An earlier renewal may have been stored without our hearing of it.
		entry, getErr := l.cfg.KV.Get(ctx, l.slotKey(i))
		if getErr != nil || string(entry.Value()) != l.id {
			l.lose(i, "lease expired")
			return
		}
		revision, err = entry.Revision(), nil
	}
	if err == nil {
		s.revision, s.renewed = revision, sent
		return
	}
	l.note("renew", err)
	if time.Since(s.renewed)+l.interval >= l.ttl {
		l.lose(i, "lease not renewed in time")
	}
}

// lose ends the work of a slot whose lease is another's, or nobody's.
func (l *leases) lose(i int, reason string) {
	s := &l.slots[i]
	l.log.Warn("slot lost", "slot", i, "reason", reason)
	s.revision, s.holder, s.heard = 0, "", time.Time{}
	l.leave(i)
}

// balance gives up surplus slots and takes free ones, unless the bucket has
// trouble: the next renewal tells.
func (l *leases) balance(ctx context.Context) {
	if l.stopping || !l.ready || l.trouble != "" || ctx.Err() != nil {
		return
	}
	now := time.Now()
	l.forget(now)
	held := 0
	for i := range l.slots {
		if l.slots[i].revision != 0 && !l.slots[i].leaving {
			held++
		}
	}
	share, first := l.share(held)
	for i := len(l.slots) - 1; i >= 0 && held > share; i-- {
		if s := &l.slots[i]; s.revision != 0 && !s.leaving {
			l.log.Info("slot is handed over", "slot", i, "held", held, "share", share)
			l.leave(i)
			held--
		}
	}
	for n := 0; n < len(l.slots) && held < share; n++ {
		i := (first + n) % len(l.slots)
		if s := &l.slots[i]; s.revision == 0 && s.cancel == nil && s.heard.IsZero() && l.acquire(ctx, i) {
			held++
		}
	}
}

// forget drops members and holders that have been silent for a whole TTL.
func (l *leases) forget(now time.Time) {
	for id, heard := range l.members {
		if now.Sub(heard) > l.ttl {
			delete(l.members, id)
		}
	}
	for i := range l.slots {
		if s := &l.slots[i]; s.revision == 0 && now.Sub(s.heard) > l.ttl {
			s.holder, s.heard = "", time.Time{}
		}
	}
}

// share is how many slots this instance should have, and where it looks first.
// The remainder of the division goes to those who hold most, so that a newcomer
// takes no slot from somebody who has a fair share.
func (l *leases) share(held int) (share, first int) {
	counts := map[string]int{l.id: held}
	ids := []string{l.id}
	for id := range l.members {
		ids = append(ids, id)
		counts[id] = 0
	}
	for i := range l.slots {
		s := &l.slots[i]
		if _, live := counts[s.holder]; live && s.holder != l.id {
			counts[s.holder]++
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	rank := slices.Index(ids, l.id)
	share = len(l.slots) / len(ids)
	if rank < len(l.slots)%len(ids) {
		share++
	}
	return share, rank * len(l.slots) / len(ids)
}

// acquire tries to take a slot that seems free. The broker decides.
func (l *leases) acquire(ctx context.Context, i int) bool {
	// Not broken off by the end of ctx: a key that was made unheard of would stay.
	opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.interval)
	defer cancel()
	s := &l.slots[i]
	sent := time.Now()
	revision, err := l.cfg.KV.Create(opCtx, l.slotKey(i), []byte(l.id))
	if err != nil {
		if !errors.Is(err, jetstream.ErrKeyExists) {
			l.note("acquire", err)
		}
		// Somebody was faster, and the watcher will tell who, or the broker has
		// not expired the key yet. Either way not before the next renewal.
		s.heard = sent.Add(l.interval/2 - l.ttl)
		return false
	}
	s.revision, s.renewed, s.holder, s.heard = revision, sent, l.id, sent
	l.log.Info("slot acquired", "slot", i)
	l.start(ctx, i)
	return true
}

// note logs trouble with the bucket when it begins, changes and ends.
func (l *leases) note(operation string, err error) {
	text := errText(err)
	switch {
	case text == l.trouble:
		return
	case text != "":
		l.log.Warn("lease bucket has trouble", "operation", operation, "error", err)
	case operation == "renew":
		l.log.Info("lease bucket works again")
	default:
		return // only a renewal proves that all is well
	}
	l.trouble = text
}
