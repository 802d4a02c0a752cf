package origin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/energy-platform/energy/services/internal/origin"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	const here = "localhost:8080"
	tests := []struct {
		name         string
		everywhere   bool // the listener is not a loopback one
		method, host string
		header       map[string]string
		code         int
		says         string
	}{
		{name: "a program is let in", method: "POST", host: here, code: 200},
		{name: "an address of this machine is one of its names", method: "GET", host: "127.0.0.1:1", code: 200},
		{name: "so is one of IPv6", method: "GET", host: "[::1]:8080", code: 200},
		{name: "and a name without a port", method: "GET", host: "LOCALHOST", code: 200},
		{name: "a site's own name that leads here is refused", method: "GET", host: "evil.example:8080",
			header: map[string]string{"Sec-Fetch-Site": "same-origin"}, code: 421, says: "localhost"},
		{name: "a name that only begins like this machine's is refused", method: "GET", host: "localhost.evil.example",
			code: 421, says: "localhost"},
		{name: "no name at all is refused", method: "GET", host: "", code: 421, says: "localhost"},
		{name: "a listener for a network answers to any name", everywhere: true, method: "GET", host: "meters.example", code: 200},
		{name: "another site's request is refused", method: "POST", host: here,
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
			code:   403, says: "https://evil.example"},
		{name: "so it is on a network", everywhere: true, method: "POST", host: "meters.example",
			header: map[string]string{"Sec-Fetch-Site": "cross-site"}, code: 403, says: "another origin"},
		{name: "another port of this machine is another origin", method: "GET", host: here,
			header: map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
			code:   403, says: "http://localhost:3000"},
		{name: "an older browser's request for another site is refused", method: "DELETE", host: here,
			header: map[string]string{"Origin": "https://evil.example"}, code: 403, says: "https://evil.example"},
		{name: "a page without an origin is another", method: "POST", host: here,
			header: map[string]string{"Origin": "null"}, code: 403, says: "null"},
		{name: "another site's picture of a page is refused", method: "GET", host: here,
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
			code:   403, says: "another origin"},
		{name: "another site's frame is refused", method: "GET", host: here,
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
			code:   403, says: "another origin"},
		{name: "another site's form is refused", method: "POST", host: here,
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
			code:   403, says: "another origin"},
		{name: "a link from another site opens the page", method: "GET", host: here,
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
			code:   200},
		{name: "an address that somebody typed opens the page", method: "GET", host: here,
			header: map[string]string{"Sec-Fetch-Site": "none"}, code: 200},
		{name: "the page's own requests are let in", method: "POST", host: here,
			header: map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://" + here}, code: 200},
		{name: "also an older browser's", method: "POST", host: here,
			header: map[string]string{"Origin": "http://" + here}, code: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			let := false
			guard := origin.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { let = true }), !tt.everywhere)
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/v1/entities", nil)
			r.Host = tt.host
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			guard.ServeHTTP(w, r)
			if w.Code != tt.code || let != (tt.code == 200) || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("got %d %s, passed on: %t; want %d with %q", w.Code, w.Body, let, tt.code, tt.says)
			}
		})
	}
}
