// Package page serves the page at /: series, a plot and a table of one of them,
// and the state of the pipeline, all rendered here, so that it reads without
// scripts. It asks energy.v1.QueryService as any client does and computes
// nothing that an answer holds.
//
// A browser with scripts follows /live, a stream of server-sent events: the
// rendered plot whenever a watch of the series reports a change, and the state
// of the pipeline when it differs from what was sent. The id of an event is the
// watch's resume token, so that a browser that comes back misses nothing.
//
// A request that cannot be answered gets a page that says why: 400 names the
// parameter and what is allowed, 404 what does not exist, 503 what is away.
package page

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"google.golang.org/grpc"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// maxFollowers bounds the browsers that follow /live at once. Each costs a
// watch, and an answer a second while its series changes.
const maxFollowers = 64

// page is the handler's state.
type page struct {
	client    energyv1.QueryServiceClient
	ready     func() error
	assets    *assets
	pulse     *pulse
	followers chan struct{}
	stopping  <-chan struct{}
}

// New returns a handler of /, /live and /assets/ that asks the service at the
// other end of conn. While ready returns an error, it is what visitors are told,
// with 503. Followers are let go when ctx ends, so that they hold up no shutdown.
func New(ctx context.Context, conn grpc.ClientConnInterface, ready func() error) (http.Handler, error) {
	a, err := loadAssets()
	if err != nil {
		return nil, err
	}
	client := energyv1.NewQueryServiceClient(conn)
	p := &page{
		client: client, ready: ready, assets: a, pulse: newPulse(client),
		followers: make(chan struct{}, maxFollowers), stopping: ctx.Done(),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.overview)
	mux.HandleFunc("GET /live", p.live)
	mux.HandleFunc("GET /assets/{name}", a.serve)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			p.fail(w, &problem{http.StatusMethodNotAllowed, "The page is for reading", r.Method + " is not taken here."})
			return
		}
		p.fail(w, &problem{http.StatusNotFound, "There is nothing here", "The address leads to no page."})
	})
	return guarded(mux), nil
}

// policy lets the page load and send to nothing but where it comes from, run no
// script that stands in it, and be framed by nobody.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// overview serves the page.
func (p *page) overview(w http.ResponseWriter, r *http.Request) {
	view, err := p.view(r)
	if err != nil {
		p.fail(w, problemOf(err))
		return
	}
	p.write(w, http.StatusOK, "page", view)
}

// view gathers what the page shows.
func (p *page) view(r *http.Request) (*overview, error) {
	if err := p.ready(); err != nil {
		return nil, &problem{http.StatusServiceUnavailable, "Not ready yet", err.Error()}
	}
	asked, err := parse(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	v := &overview{shell: p.shell("Energy"), asked: asked}
	if v.List, err = p.list(ctx, asked); err != nil {
		return nil, err
	}
	if v.Plot, err = p.plot(ctx, asked, v.List.first()); err != nil {
		return nil, err
	}
	if v.Plot != nil {
		v.Title = v.Plot.Entity + " " + v.Plot.Metric
		v.List.mark(v.Plot.key)
	}
	v.Status = p.status(ctx)
	return v, nil
}

// fail answers with a page that says what is wrong.
func (p *page) fail(w http.ResponseWriter, what *problem) {
	if what.code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	p.write(w, what.code, "problem", struct {
		shell
		*problem
	}{p.shell(what.Headline), what})
}

// write renders before it answers, so that no page breaks off in its middle.
func (p *page) write(w http.ResponseWriter, code int, name string, data any) {
	html, err := p.render(name, data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(html) // the client went away
}

func (p *page) render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := p.assets.templates.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return b.Bytes(), nil
}
