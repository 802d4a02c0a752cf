package page

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

const (
	// pace is the least time between two plots that a follower is sent.
	pace = time.Second
	// look is how often the state of the pipeline is compared with what was sent.
	look = 3 * time.Second
)

// live serves the events of a page until the browser leaves, the watch breaks or
// the service stops. The browser then comes back by itself.
func (p *page) live(w http.ResponseWriter, r *http.Request) {
	select {
	case p.followers <- struct{}{}:
		defer func() { <-p.followers }()
	default:
		p.fail(w, &problem{http.StatusServiceUnavailable, "Too many follow",
			fmt.Sprintf("At most %d open pages are kept up to date. Reload this one to see changes.", maxFollowers)})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() {
		select {
		case <-p.stopping:
			cancel()
		case <-ctx.Done():
		}
	})
	f := &follower{page: p, sent: make(map[string]string), changes: make(chan string, 1)}
	if err := f.begin(ctx, r); err != nil {
		p.fail(w, problemOf(err))
		return
	}
	f.events = newEvents(w)
	if f.watch != nil {
		parts.Go(func() { defer cancel(); f.receive() })
	}
	_ = f.run(ctx) // there is nobody left to tell
}

// follower is one browser that follows /live.
type follower struct {
	page    *page
	asked   *request
	watch   grpc.ServerStreamingClient[energyv1.WatchAggregatesResponse] // nil while there is no series
	token   string                                                       // where the watch stood when it began
	resumed bool                                                         // behind what the browser has
	changes chan string                                                  // the newest token not yet reported
	events  *events
	sent    map[string]string // the last rendering of each part
}

// begin reads what is to be followed and starts the watch. What cannot be
// followed is said before the stream of events begins.
func (f *follower) begin(ctx context.Context, r *http.Request) (err error) {
	if err := f.page.ready(); err != nil {
		return &problem{http.StatusServiceUnavailable, "Not ready yet", err.Error()}
	}
	if f.asked, err = parse(r.URL.RawQuery); err != nil || !f.asked.values.Has("entity") {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q, err := f.page.question(asking, f.asked, nil)
	if err != nil {
		return err
	}
	req := &energyv1.WatchAggregatesRequest{
		Selector: q.query.GetSelector(), Window: q.query.GetWindow(), ResumeToken: r.Header.Get("Last-Event-ID"),
	}
	f.resumed = req.GetResumeToken() != ""
	err = f.open(ctx, req)
	if f.resumed && (status.Code(err) == codes.OutOfRange || status.Code(err) == codes.InvalidArgument) {
		f.resumed, req.ResumeToken = false, "" // the whole plot makes up for what the feed no longer holds
		err = f.open(ctx, req)
	}
	return err
}

// open starts the watch and waits until it stands.
func (f *follower) open(ctx context.Context, req *energyv1.WatchAggregatesRequest) error {
	watch, err := f.page.client.WatchAggregates(ctx, req)
	if err != nil {
		return err
	}
	first, err := watch.Recv()
	if err != nil {
		return err
	}
	f.watch, f.token = watch, first.GetResumeToken()
	return nil
}

// receive keeps the newest token of the watch until it ends.
func (f *follower) receive() {
	for {
		r, err := f.watch.Recv()
		if err != nil {
			return
		}
		if r.GetResumeToken() == "" {
			continue // more of the same changes follow
		}
		select {
		case <-f.changes:
		default:
		}
		f.changes <- r.GetResumeToken()
	}
}

// run sends what changes until ctx ends or the browser is gone.
func (f *follower) run(ctx context.Context) error {
	if err := f.events.begin(); err != nil {
		return err
	}
	if f.watch != nil && !f.resumed {
		if err := f.plot(ctx, f.token); err != nil {
			return err
		}
	}
	looks := time.NewTicker(look)
	defer looks.Stop()
	var paused <-chan time.Time
	for {
		changes := f.changes
		if paused != nil {
			changes = nil
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case token := <-changes:
			paused = time.After(pace)
			if err = f.plot(ctx, token); err == nil {
				err = f.status(ctx)
			}
		case <-paused:
			paused = nil
		case <-looks.C:
			err = f.look(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// look sends what no watch reports: the state of the pipeline, and the first
// series of a page that has none.
func (f *follower) look(ctx context.Context) error {
	if f.watch == nil {
		asking, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		l, err := f.page.list(asking, f.asked)
		if err != nil {
			return err
		}
		if l.first() != nil {
			return f.events.send("reload", "", "there are series")
		}
	}
	if err := f.status(ctx); err != nil {
		return err
	}
	return f.events.beat()
}

// plot renders the plot anew and sends it, with the token behind which to go on.
func (f *follower) plot(ctx context.Context, token string) error {
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asked := *f.asked
	asked.now = time.Now()
	view, err := f.page.plot(asking, &asked, nil)
	if err != nil {
		return err
	}
	return f.part("plot", token, view)
}

func (f *follower) status(ctx context.Context) error {
	return f.part("status", "", f.page.status(ctx))
}

// part sends a part of the page if it differs from what was sent.
func (f *follower) part(name, token string, view any) error {
	html, err := f.page.render(name, view)
	if err != nil {
		return err
	}
	if f.sent[name] == string(html) {
		return f.events.send("", token, "")
	}
	f.sent[name] = string(html)
	return f.events.send(name, token, string(html))
}
