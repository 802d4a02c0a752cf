// Package origin refuses what a browser sends on behalf of another website. The
// API and the page have no credentials of a visitor's to ask for, so that
// whoever reaches them may use them; a site that somebody on this machine
// happens to visit reaches them through that visitor's browser.
//
// It promises that no page of another origin changes, follows or reads
// anything: neither by a request of its own, nor by a name of its own that it
// points to this machine. A link from another site still opens the page.
// Programs that are no browsers notice nothing.
//
// What is refused is answered with 403, or 421 for a foreign name, and the JSON
// of an error of the API, which says what mends it.
package origin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"
)

// Guard returns a handler that passes to next what it does not refuse. Behind a
// loopback listener only names of this machine are answered to: the name of a
// site is in Host when it leads a visitor's browser here by DNS.
func Guard(next http.Handler, loopback bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback && !IsLoopback(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf(
				"%.64q is no name of this machine, and this service answers to no other: ask localhost or 127.0.0.1", r.Host))
			return
		}
		if !fromHere(r) {
			refuse(w, http.StatusForbidden, fmt.Sprintf(
				"the request comes from a page of another origin (%.64q): ask from the page served here, or without a browser",
				r.Header.Get("Origin")))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// IsLoopback tells whether a host, with or without a port, is this machine by
// way of its loopback interface.
func IsLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// fromHere tells whether a request comes from no page, from a page of the same
// origin, or from following a link. Browsers say it in Sec-Fetch-Site, which no
// page can set; older ones only in Origin, and not of a link.
func fromHere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := r.Header.Get("Origin")
		u, err := url.Parse(origin)
		return origin == "" || err == nil && strings.EqualFold(u.Host, r.Host)
	default:
		return r.Method == http.MethodGet &&
			r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // the client went away
		Code    codes.Code `json:"code"`
		Message string     `json:"message"`
		Details []string   `json:"details"`
	}{codes.PermissionDenied, message, []string{}})
}
