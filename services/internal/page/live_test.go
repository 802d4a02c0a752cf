package page

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// event is one that a browser would see.
type event struct{ id, name, data string }

// follow opens /live as a browser would.
func (s *site) follow(t *testing.T, query, lastID string) (next func() (event, bool), leave context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/live?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func() (event, bool) {
		var e event
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data += value + "\n"
			case "":
				if e != (event{}) {
					return e, true
				}
			}
		}
		return e, false
	}, cancel
}

// upTo returns the first event that is wanted.
func upTo(t *testing.T, next func() (event, bool), wanted func(event) bool) event {
	t.Helper()
	for {
		e, ok := next()
		if !ok {
			t.Fatal("the stream ended before the event that is waited for")
		}
		if wanted(e) {
			return e
		}
	}
}

func named(name string) func(event) bool { return func(e event) bool { return e.name == name } }

func TestLive(t *testing.T) {
	t.Parallel()
	t.Run("SendsThePlotAndThenWhatChanges", func(t *testing.T) {
		t.Parallel()
		s := newService(gauge("boiler", "temperature", "°C"))
		next, _ := open(t, s).follow(t, "entity=boiler&window=1h", "")
		first := upTo(t, next, named("plot"))
		if first.id != "first" {
			t.Errorf("the first plot has id %q", first.id)
		}
		s.set(func() { s.value = 77.25 })
		s.changes <- "second"
		changed := upTo(t, next, named("plot"))
		if changed.id != "second" {
			t.Errorf("the change has id %q", changed.id)
		}
		contains(t, "the plot", changed.data, "77.25", "<svg")
		contains(t, "the status", upTo(t, next, named("status")).data, "Caught up")
		s.changes <- "third" // nothing that the plot shows
		if e := upTo(t, next, func(e event) bool { return e.id != "" }); e.id != "third" || e.name != "" {
			t.Errorf("a change that changes nothing sends %+v", e)
		}
	})
	t.Run("GoesOnBehindWhatTheBrowserHas", func(t *testing.T) {
		t.Parallel()
		s := newService(gauge("boiler", "temperature", "°C"))
		next, _ := open(t, s).follow(t, "entity=boiler", "second")
		if req := <-s.watched; req.GetResumeToken() != "second" {
			t.Errorf("the watch goes on behind %q", req.GetResumeToken())
		}
		s.changes <- "third"
		if e := upTo(t, next, named("plot")); e.id != "third" {
			t.Errorf("the first plot has id %q: nothing had changed before", e.id)
		}
	})
	t.Run("SendsAllWhenTheFeedNoLongerHoldsWhatTheBrowserHas", func(t *testing.T) {
		t.Parallel()
		s := newService(gauge("boiler", "temperature", "°C"))
		next, _ := open(t, s).follow(t, "entity=boiler", "old")
		if e := upTo(t, next, named("plot")); e.id != "first" {
			t.Errorf("the plot has id %q", e.id)
		}
	})
	t.Run("ReloadsAPageThatHadNoSeries", func(t *testing.T) {
		t.Parallel()
		s := newService()
		next, _ := open(t, s).follow(t, "", "")
		upTo(t, next, named("status"))
		s.set(func() { s.series = append(s.series, gauge("boiler", "temperature", "°C")) })
		upTo(t, next, named("reload"))
	})
	t.Run("EndsWithItsWatch", func(t *testing.T) {
		t.Parallel()
		s := newService(gauge("boiler", "temperature", "°C"))
		next, _ := open(t, s).follow(t, "entity=boiler", "")
		upTo(t, next, named("plot"))
		s.changes <- "break"
		for ok := true; ok; {
			_, ok = next()
		}
	})
	t.Run("EndsWhenTheServiceStops", func(t *testing.T) {
		t.Parallel()
		w := open(t, newService())
		next, _ := w.follow(t, "", "")
		w.stop()
		for ok := true; ok; {
			_, ok = next()
		}
	})
}

// TestFollowersAreBounded fills the page's room: one more is refused, and let in
// when another leaves.
func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()
	s := newService(gauge("boiler", "temperature", "°C"))
	w := open(t, s)
	var leave context.CancelFunc
	for range maxFollowers {
		_, leave = w.follow(t, "entity=boiler", "x")
	}
	refused := func() bool {
		got := w.get(t, "/live?colour=red") // ends at once either way
		return got.code == http.StatusServiceUnavailable && got.header.Get("Retry-After") != ""
	}
	if !refused() {
		t.Error("one more than the most is let in")
	}
	leave()
	for deadline := time.Now().Add(time.Minute); refused(); {
		if time.Now().After(deadline) {
			t.Fatal("who left still takes room")
		}
	}
}

// recorder takes events.
type recorder struct {
	http.ResponseWriter
	text     strings.Builder
	deadline time.Time
}

func (r *recorder) Write(b []byte) (int, error)         { return r.text.Write(b) }
func (r *recorder) Flush()                              {}
func (r *recorder) SetWriteDeadline(at time.Time) error { r.deadline = at; return nil }

func TestEvents(t *testing.T) {
	t.Parallel()
	t.Run("BreakASilence", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var r recorder
			e := newEvents(&r)
			e.spoke = time.Now()
			for range 2 {
				<-time.After(heartbeat - 1)
				if err := e.beat(); err != nil || r.text.Len() > 0 {
					t.Errorf("%q, %v", r.text.String(), err)
				}
				<-time.After(1)
				if err := e.beat(); err != nil || r.text.String() != ":\n\n" ||
					!r.deadline.Equal(time.Now().Add(sendTimeout)) {
					t.Errorf("%q, %v, deadline %s", r.text.String(), err, r.deadline)
				}
				r.text.Reset()
			}
		})
	})
	t.Run("CannotBeForged", func(t *testing.T) {
		t.Parallel()
		var r recorder
		if err := newEvents(&r).send("plot", "7", "a\r\nid: 8\revent: reload\n\ndata: b"); err != nil {
			t.Fatal(err)
		}
		const want = "id: 7\nevent: plot\ndata: a\ndata: id: 8\ndata: event: reload\ndata: \ndata: data: b\n\n"
		if got := r.text.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
