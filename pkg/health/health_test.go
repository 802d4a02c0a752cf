package health_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/health"
)

// TestStates holds a service down while anything keeps it from working, degraded
// while a worker is in trouble, and well otherwise.
func TestStates(t *testing.T) {
	t.Parallel()
	trouble := errors.New("no luck")
	for _, c := range []struct {
		name string
		make func(*health.Monitor)
		want health.State
		code int
	}{
		{"nothing is known", func(*health.Monitor) {}, health.OK, http.StatusOK},
		{"a worker is well", func(m *health.Monitor) { m.Report("w", nil) }, health.OK, http.StatusOK},
		{"a worker is in trouble", func(m *health.Monitor) { m.Report("w", trouble) }, health.Degraded, http.StatusOK},
		{"it cannot work", func(m *health.Monitor) { m.Fail("w", trouble) }, health.Down, http.StatusServiceUnavailable},
		{"it can again", func(m *health.Monitor) { m.Fail("w", trouble); m.Fail("w", nil) }, health.OK, http.StatusOK},
		{"a check fails beside trouble", func(m *health.Monitor) {
			m.Report("w", trouble)
			m.AddCheck("c", func(context.Context) error { return trouble })
		}, health.Down, http.StatusServiceUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := health.New("one", nil)
			c.make(m)
			server := httptest.NewServer(m)
			defer server.Close()
			res, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != c.code {
				t.Errorf("HTTP says %s, want %d", res.Status, c.code)
			}
			got, err := health.Ask(t.Context(), server.Listener.Addr().String())
			if err != nil || got.State != c.want || got.Service != "one" {
				t.Errorf("it is %+v, %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestAskTakesTheAddressThatIsListenedOn asks where a service listens on all
// addresses of its machine.
func TestAskTakesTheAddressThatIsListenedOn(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(health.New("one", nil))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "0.0.0.0", "127.0.0.1", "localhost"} {
		if s, err := health.Ask(t.Context(), host+":"+port); err != nil || s.State != health.OK {
			t.Errorf("%q: %+v, %v", host, s, err)
		}
	}
}

func TestAskSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for address, want := range map[string]string{
		"8080":                         "give host:port",
		other.Listener.Addr().String(): "404 Not Found is no health report",
		gone.Listener.Addr().String():  "no answer from",
	} {
		if _, err := health.Ask(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}
