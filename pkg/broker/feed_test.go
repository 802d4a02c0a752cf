package broker

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/localnats/natstest"
)

// TestFeedCredit holds the Reader's count of bytes on their way against the
// broker's: a message larger than the bound makes the broker end every pull and
// return what is left, after which both counts are nought.
func TestFeedCredit(t *testing.T) {
	t.Parallel()
	s := natstest.Server(t)
	js, err := JetStream(natstest.Connect(t, s))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	const bound = 32 << 10
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		for range 1 + rng.IntN(200) {
			m := &nats.Msg{Subject: "s." + strings.Repeat("x", 1+rng.IntN(50)), Data: make([]byte, rng.IntN(1000))}
			if rng.IntN(2) == 0 {
				m.Header = nats.Header{"Header-" + strings.Repeat("h", rng.IntN(20)): {strings.Repeat("v", rng.IntN(20))}}
			}
			if _, err := js.PublishMsg(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := js.Publish(ctx, "s.large", make([]byte, 2*bound)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenReader(ctx, js, ReaderConfig{Stream: "S", PullBytes: bound})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	large := 0
	for large < 20 {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.feed.credit < 0 || r.feed.credit > bound {
			t.Fatalf("after %d: credit %d", m.Sequence, r.feed.credit)
		}
		if len(m.Data) == 2*bound {
			large++
			// One full pull has just been sent; anything else is a miscount.
			if r.feed.credit != bound || r.feed.single {
				t.Fatalf("after large message %d: credit %d, single %v", large, r.feed.credit, r.feed.single)
			}
		}
	}
	if r.feed.delivered != r.last {
		t.Errorf("the feed was opened again: %d deliveries for %d messages", r.feed.delivered, r.last)
	}
}

// TestReaderReopens takes from the reader what a faulty network would. Its
// subtests share a stream, each going on where the last one ended.
//
//nolint:tparallel // they take turns
func TestReaderReopens(t *testing.T) {
	t.Parallel()
	js, err := JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, AllowDirect: true}
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Reader){
		"AfterAGap":            func(r *Reader) { <-r.feed.msgs },
		"AfterGarbage":         func(r *Reader) { r.feed.msgs <- &nats.Msg{Subject: "s", Reply: "reply"} },
		"AfterItsConsumerWent": func(r *Reader) { r.feed.msgs <- notice("409", "Description", "Consumer Deleted") },
		"AfterNoAnswer":        func(r *Reader) { r.feed.msgs <- notice("503", "", "") },
		"AfterALostTail": func(r *Reader) {
			<-r.feed.msgs
			r.feed.msgs <- notice("100", "Nats-Last-Consumer", "2")
		},
		"AfterSilence": func(r *Reader) {
			_ = r.feed.sub.Unsubscribe()
			for len(r.feed.msgs) > 0 {
				<-r.feed.msgs
			}
			r.silence.Reset(time.Millisecond)
			r.heard = r.feed.heard
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, err := js.Publish(ctx, "s", []byte("1"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := OpenReader(ctx, js, ReaderConfig{Stream: "S", From: first.Sequence - 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if m, err := r.Next(ctx); err != nil || m.Sequence != first.Sequence {
				t.Fatalf("first: %v, %v", m, err)
			}
			if _, err := js.Publish(ctx, "s", []byte("2")); err != nil {
				t.Fatal(err)
			}
			feed := r.feed
			spoil(r)
			for n := first.Sequence + 1; n <= first.Sequence+2; n++ {
				if m, err := r.Next(ctx); err != nil || m.Sequence != n {
					t.Fatalf("message %d: %v, %v", n, m, err)
				}
				if n == first.Sequence+1 {
					if _, err := js.Publish(ctx, "s", []byte("3")); err != nil {
						t.Fatal(err)
					}
				}
			}
			if r.feed == feed || r.Openings() != 2 {
				t.Errorf("it was opened %d times", r.Openings())
			}
		})
	}

	t.Run("ButNotWhereAnotherMessageHasTheSequence", func(t *testing.T) {
		if _, err := js.Publish(ctx, "s", nil); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(ctx, js, ReaderConfig{Stream: "S"})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Next(ctx); err != nil {
			t.Fatal(err)
		}
		r.lastAt = r.lastAt.Add(-time.Nanosecond) // as if the tail had been lost and used again
		r.dropFeed()
		if m, err := r.Next(ctx); !errors.Is(err, ErrBeyondEnd) {
			t.Errorf("got %v, %v", m, err)
		}
	})
}

func notice(status, name, value string) *nats.Msg {
	m := &nats.Msg{Header: nats.Header{"Status": {status}}}
	if name != "" {
		m.Header.Set(name, value)
	}
	return m
}

func TestParseReply(t *testing.T) {
	t.Parallel()
	want := replyMeta{stream: 7, consumer: 6, nanos: 1700000000000000001, pending: 5}
	for _, reply := range []string{
		"$JS.ACK.S.c.1.7.6.1700000000000000001.5",
		"$JS.ACK._.hash.S.c.1.7.6.1700000000000000001.5",
		"$JS.ACK.hub.hash.S.c.1.7.6.1700000000000000001.5.token",
	} {
		if got, err := parseReply(reply); err != nil || got != want {
			t.Errorf("%s: %+v, %v", reply, got, err)
		}
	}
	for _, reply := range []string{
		"", "$JS.ACK.", "x", "$JS.ACK.S.c.1.7.6.17.", "$JS.ACK.S.c.1.7.6.17", "$JS.ACK.S.c.1.7.x.17.5",
		"$JS.ACK.S.c.1.7.6.17.5.8", "_INBOX.S.c.1.7.6.17.5",
	} {
		if got, err := parseReply(reply); !errors.Is(err, errReply) {
			t.Errorf("%q: %+v, %v", reply, got, err)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add("$JS.ACK.S.c.1.7.6.1700000000000000001.5")
	f.Add("$JS.ACK._.hash.S.c.1.7.6.1700000000000000001.5.token")
	f.Fuzz(func(t *testing.T, reply string) {
		if meta, err := parseReply(reply); err == nil && meta.nanos < 0 {
			t.Errorf("%q: %+v", reply, meta)
		}
	})
}

// TestLeaseShare: with the same view, shares add up to the number of slots, no
// two differ by more than one, and nobody with a fair share gives anything up.
func TestLeaseShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 40).Draw(t, "slots")
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 1, 9, rapid.ID[string]).Draw(t, "ids")
		holders := make([]string, slots)
		for i := range holders {
			holders[i] = rapid.SampledFrom(append([]string{"", "dead!"}, ids...)).Draw(t, "holder")
		}
		sum := 0
		for _, id := range ids {
			l := &leases{id: id, members: newMembers(ids, id), slots: make([]slot, slots)}
			held := 0
			for i, holder := range holders {
				l.slots[i].holder = holder
				if holder == id {
					held++
				}
			}
			share, first := l.share(held)
			sum += share
			if lo := slots / len(ids); share < lo || share > lo+1 || share == lo+1 && slots%len(ids) == 0 {
				t.Fatalf("%s: share %d of %d among %d", id, share, slots, len(ids))
			}
			if held <= slots/len(ids) && held > share {
				t.Fatalf("%s: gives up %d of %d", id, held-share, held)
			}
			if first < 0 || first >= slots {
				t.Fatalf("%s: looks first at %d", id, first)
			}
		}
		if sum != slots {
			t.Fatalf("shares add up to %d of %d", sum, slots)
		}
	})
}

func newMembers(ids []string, self string) map[string]time.Time {
	members := map[string]time.Time{}
	for _, id := range ids {
		if id != self {
			members[id] = time.Now()
		}
	}
	return members
}
