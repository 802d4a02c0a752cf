// Package health says how a service is: the state of each thing it depends on,
// over HTTP and gRPC.
//
// A check asks a dependency when somebody wants to know; a report is what a
// worker last said of itself. A service is down when any check fails or a worker
// says that nothing works without it, degraded when other workers are in trouble,
// and ok otherwise.
package health

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// State is how a component or a service is.
type State string

// The states.
const (
	OK       State = "ok"
	Degraded State = "degraded"
	Down     State = "down"
)

// Component is one line of a Status.
type Component struct {
	Name   string    `json:"name"`
	State  State     `json:"state"`
	Detail string    `json:"detail,omitempty"` // why it is not ok, or what there is to know
	Since  time.Time `json:"since"`            // when the state was entered
	// Runbook says what to do about it, where it is not ok and somebody has written that.
	Runbook string `json:"runbook,omitempty"`
}

// String says why a component is not ok and where is written what to do, or what there is
// to know.
func (c Component) String() string {
	if c.Runbook == "" {
		return c.Detail
	}
	return c.Detail + " (see " + c.Runbook + ")"
}

// Status is how a service is.
type Status struct {
	Service    string      `json:"service"`
	State      State       `json:"state"`
	Components []Component `json:"components"`
}

// Guide returns where is written what to do about a component in trouble, "" for nowhere.
type Guide func(component string, trouble error) string

// Check asks whether a dependency works. It must obey its context.
type Check func(context.Context) error

const (
	checkTimeout  = 2 * time.Second
	pollInterval  = 2 * time.Second
	wholeService  = "" // gRPC health name of a server as a whole
	shutdownState = healthv1.HealthCheckResponse_NOT_SERVING
)

// Monitor gathers the health of one service. It is safe for concurrent use.
type Monitor struct {
	service string
	guide   Guide
	grpc    *health.Server

	mu      sync.Mutex
	checks  map[string]Check
	reports map[string]Component
	asked   map[string]Component // last outcome of each check
}

// New returns a monitor without components for a service. Without a guide, which may be
// nil, no component has a runbook.
func New(service string, guide Guide) *Monitor {
	m := &Monitor{
		service: service,
		guide:   guide,
		grpc:    health.NewServer(),
		checks:  make(map[string]Check),
		reports: make(map[string]Component),
		asked:   make(map[string]Component),
	}
	m.grpc.SetServingStatus(wholeService, shutdownState)
	return m
}

// Server returns the gRPC health service of the monitor.
func (m *Monitor) Server() healthv1.HealthServer { return m.grpc }

// AddCheck names a dependency and how to ask for it.
func (m *Monitor) AddCheck(name string, check Check) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checks[name] = check
}

// Report says how a worker is: nil for well, otherwise what troubles it.
func (m *Monitor) Report(name string, trouble error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports[name] = m.next(m.reports[name], name, trouble, Degraded)
}

// Fail says what keeps the service as a whole from working, nil for nothing.
func (m *Monitor) Fail(name string, trouble error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports[name] = m.next(m.reports[name], name, trouble, Down)
}

// Note says something of a worker that is well.
func (m *Monitor) Note(name, detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.next(m.reports[name], name, nil, Degraded)
	c.Detail = detail
	m.reports[name] = c
}

// next is a component after an outcome; it keeps Since while the state lasts.
func (m *Monitor) next(last Component, name string, trouble error, bad State) Component {
	c := Component{Name: name, State: OK, Since: last.Since}
	if trouble != nil {
		c.State, c.Detail = bad, trouble.Error()
		if m.guide != nil {
			c.Runbook = m.guide(name, trouble)
		}
	}
	if last.State != c.State {
		c.Since = time.Now().UTC()
	}
	return c
}

// Forget drops a worker that is no longer this service's.
func (m *Monitor) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.reports, name)
}

// Status runs all checks and returns the whole picture.
func (m *Monitor) Status(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	m.runChecks(ctx)

	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Service: m.service, State: OK, Components: []Component{}}
	for _, c := range m.asked {
		s.Components = append(s.Components, c)
	}
	for _, c := range m.reports {
		s.Components = append(s.Components, c)
	}
	slices.SortFunc(s.Components, func(a, b Component) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range s.Components {
		switch {
		case c.State == Down:
			s.State = Down
		case c.State == Degraded && s.State == OK:
			s.State = Degraded
		}
	}
	return s
}

// runChecks runs the checks side by side and keeps their outcomes.
func (m *Monitor) runChecks(ctx context.Context) {
	m.mu.Lock()
	checks := maps.Clone(m.checks)
	m.mu.Unlock()

	var wg sync.WaitGroup
	for name, check := range checks {
		wg.Go(func() {
			err := check(ctx)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.asked[name] = m.next(m.asked[name], name, err, Down)
		})
	}
	wg.Wait()
}

// ServeHTTP answers with the status as JSON: 200 when the service is ok or
// degraded, 503 when it is down.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := m.Status(r.Context())
	body, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if status.State == Down {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(body, '\n')) // the client has gone: nobody to tell
}

// Run keeps the gRPC status current until ctx ends, then says not serving.
func (m *Monitor) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	defer m.grpc.Shutdown()
	for {
		serving := healthv1.HealthCheckResponse_SERVING
		if m.Status(ctx).State == Down {
			serving = healthv1.HealthCheckResponse_NOT_SERVING
		}
		m.grpc.SetServingStatus(wholeService, serving)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
