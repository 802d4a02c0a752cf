package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
)

// instance is one process of a stage.
type instance struct {
	name string
	js   jetstream.JetStream
	stop context.CancelFunc
	done chan error

	mu      sync.Mutex
	working map[int]bool
	began   int
}

func (i *instance) work(ctx context.Context, slot int) error {
	i.mu.Lock()
	i.working[slot] = true
	i.began++
	i.mu.Unlock()
	<-ctx.Done()
	i.mu.Lock()
	delete(i.working, slot)
	i.mu.Unlock()
	return ctx.Err()
}

func (i *instance) slots() []int {
	i.mu.Lock()
	defer i.mu.Unlock()
	var slots []int
	for slot := range i.working {
		slots = append(slots, slot)
	}
	slices.Sort(slots)
	return slots
}

func (i *instance) starts() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.began
}

// end stops the instance as a shutdown does.
func (i *instance) end(tb testing.TB) {
	tb.Helper()
	i.stop()
	select {
	case err := <-i.done:
		if err != nil {
			tb.Errorf("%s: %v", i.name, err)
		}
		i.done <- nil // for the next end
	case <-time.After(testDeadline):
		tb.Fatalf("%s does not end", i.name)
	}
	if slots := i.slots(); len(slots) > 0 {
		tb.Errorf("%s still works on %v", i.name, slots)
	}
}

// fleet runs instances of a stage with P slots, each on a connection of its own.
type fleet struct {
	tb      testing.TB
	address string
	slots   int
}

func (f fleet) launch(name string) *instance {
	f.tb.Helper()
	js := connect(f.tb, f.address)
	kv, err := broker.OpenLeases(testContext(f.tb), js)
	if err != nil {
		f.tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(f.tb.Context())
	i := &instance{name: name, js: js, stop: stop, done: make(chan error, 1), working: map[int]bool{}}
	cfg := broker.LeaseConfig{
		KV: kv, Stage: "silver", Slots: f.slots, Instance: name, Logger: testLog(f.tb).With("instance", name),
	}
	go func() { i.done <- broker.RunLeases(ctx, cfg, i.work) }()
	f.tb.Cleanup(func() { i.end(f.tb) })
	return i
}

// await waits until the instances have every slot between them, in those
// numbers; which of them has the one more does not matter.
func (f fleet) await(what string, counts []int, instances ...*instance) {
	f.tb.Helper()
	eventually(f.tb, what, func() bool {
		var got, all []int
		for _, i := range instances {
			slots := i.slots()
			got = append(got, len(slots))
			all = append(all, slots...)
		}
		slices.Sort(got)
		slices.Sort(all)
		return slices.Equal(got, counts) && len(slices.Compact(all)) == f.slots
	})
}

func newFleet(t *testing.T, slots int, ttl time.Duration) fleet {
	t.Helper()
	_, s := provisioned(t, func(top *broker.Topology) { top.LeaseTTL = ttl })
	return fleet{tb: t, address: s.URL(), slots: slots}
}

// slow is a TTL that no test waits for: what happens with it happens by events.
const slow = 10 * time.Minute

func TestRunLeases(t *testing.T) {
	t.Parallel()

	t.Run("SpreadsSlotsFairlyAsInstancesComeAndGo", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, 7, slow)
		a := f.launch("a")
		f.await("one has all", []int{7}, a)
		b := f.launch("b")
		f.await("two share", []int{3, 4}, a, b)
		before := a.slots()
		c := f.launch("c")
		f.await("three share", []int{2, 2, 3}, a, b, c)
		for _, s := range a.slots() {
			if !slices.Contains(before, s) {
				t.Errorf("a moved from %v to %v", before, a.slots())
			}
		}
		a.end(t)
		f.await("the others take over at once", []int{3, 4}, b, c)
		b.end(t)
		f.await("the last has all", []int{7}, c)
	})

	t.Run("KeepsTheActiveOneOfASingleSlot", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, 1, 600*time.Millisecond)
		b := f.launch("b")
		f.await("active", []int{1}, b)
		a := f.launch("a") // its name sorts first
		other := newFleetMember(f, t)
		eventually(t, "some renewals", func() bool { return other() })
		if b.starts() != 1 || a.starts() != 0 {
			t.Errorf("the slot moved: %d and %d starts", b.starts(), a.starts())
		}
		b.end(t)
		f.await("the standby takes over", []int{1}, a)
	})

	t.Run("SucceedsAnInstanceThatDied", func(t *testing.T) {
		t.Parallel()
		const ttl = 600 * time.Millisecond
		f := newFleet(t, 4, ttl)
		a, b := f.launch("a"), f.launch("b")
		f.await("shared", []int{2, 2}, a, b)
		died := time.Now()
		a.js.Conn().Close() // nothing is released any more
		f.await("b has all", []int{0, 4}, b, a)
		if took := time.Since(died); took > 4*ttl {
			t.Errorf("taken over after %v with a TTL of %v", took, ttl)
		}
	})

	t.Run("SurvivesABrokerRestart", func(t *testing.T) {
		t.Parallel()
		server := newRestartable(t)
		js := connect(t, server.URL())
		if err := broker.Provision(testContext(t), js, smallTopology()); err != nil {
			t.Fatal(err)
		}
		f := fleet{tb: t, address: server.URL(), slots: 4}
		a, b := f.launch("a"), f.launch("b")
		f.await("shared", []int{2, 2}, a, b)
		server.stop()
		eventually(t, "all work has been stopped", func() bool { return len(a.slots())+len(b.slots()) == 0 })
		server.start()
		f.await("shared again", []int{2, 2}, a, b)
	})

	t.Run("KeepsALeaseUntilItsWorkHasBeenJoined", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, 1, 600*time.Millisecond)
		kv, err := broker.OpenLeases(testContext(t), connect(t, f.address))
		if err != nil {
			t.Fatal(err)
		}
		working, finish := make(chan struct{}), make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan error, 1)
		go func() {
			done <- broker.RunLeases(ctx, broker.LeaseConfig{KV: kv, Stage: "silver", Slots: 1, Instance: "a"},
				func(context.Context, int) error {
					close(working)
					<-finish
					return nil
				})
		}()
		<-working
		b := f.launch("b")
		stop()
		// The key is renewed well beyond its TTL while the work goes on.
		eventually(t, "renewals during the drain", countRevisions(t, kv, "silver.slot.0", 6))
		if b.starts() != 0 {
			t.Error("b works on a slot whose owner has not ended")
		}
		close(finish)
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.await("handed over", []int{1}, b)
	})

	t.Run("StartsWorkAgainThatReturned", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, 1, slow)
		kv, err := broker.OpenLeases(testContext(t), connect(t, f.address))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		calls := 0
		err = broker.RunLeases(ctx, broker.LeaseConfig{
			KV: kv, Stage: "silver", Slots: 1, Backoff: broker.Backoff{Min: time.Millisecond, Max: time.Millisecond},
		}, func(ctx context.Context, slot int) error {
			calls++
			switch calls {
			case 1:
				return errors.New("broken")
			case 2:
				return nil
			}
			stop()
			return ctx.Err()
		})
		if err != nil || calls != 3 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})

	t.Run("LeavesNoKeyBehind", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, 4, slow)
		a := f.launch("host.with/strange name")
		f.await("working", []int{4}, a)
		a.end(t)
		kv, err := broker.OpenLeases(testContext(t), connect(t, f.address))
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := kv.Keys(testContext(t)); !errors.Is(err, jetstream.ErrNoKeysFound) {
			t.Errorf("keys %v, %v", keys, err)
		}
	})

	t.Run("RefusesAFaultyConfiguration", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		kv, err := js.KeyValue(testContext(t), broker.BucketPositions)
		if err != nil {
			t.Fatal(err)
		}
		for _, cfg := range []broker.LeaseConfig{
			{}, {KV: kv, Stage: "a.b", Slots: 1}, {KV: kv, Stage: "a"}, {KV: kv, Stage: "a", Slots: 1},
		} {
			if err := broker.RunLeases(testContext(t), cfg, nil); err == nil {
				t.Errorf("%+v was taken", cfg)
			}
		}
	})
}

// newFleetMember reports, once the member keys have been renewed a few times by
// two members, that both have seen each other long enough to move a slot.
func newFleetMember(f fleet, t *testing.T) func() bool {
	t.Helper()
	kv, err := broker.OpenLeases(testContext(t), connect(t, f.address))
	if err != nil {
		t.Fatal(err)
	}
	return countRevisions(t, kv, "silver.member.*", 10)
}

// countRevisions reports whether keys have been written n times since.
func countRevisions(tb testing.TB, kv jetstream.KeyValue, keys string, n int) func() bool {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	w, err := kv.Watch(ctx, keys, jetstream.UpdatesOnly())
	if err != nil {
		cancel()
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cancel()
		for range w.Updates() {
			continue
		}
	})
	seen := map[string]int{}
	return func() bool {
		for {
			select {
			case e := <-w.Updates():
				seen[fmt.Sprint(e.Operation())]++
			default:
				return seen[fmt.Sprint(jetstream.KeyValuePut)] >= n
			}
		}
	}
}
