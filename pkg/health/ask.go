package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// askTimeout bounds the answer of one service. It leaves time for its checks.
const askTimeout = 5 * time.Second

// Ask returns the status of the service that listens on an address for HTTP. An
// address without a host, or with one that stands for all of a machine's, is
// asked on loopback, so that the address that a service listens on can be given.
func Ask(ctx context.Context, address string) (s Status, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return s, fmt.Errorf("%w: give host:port", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/health", nil)
	if err != nil {
		return s, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, fmt.Errorf("no answer from %s: %w", address, err)
	}
	err = json.NewDecoder(res.Body).Decode(&s)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return s, fmt.Errorf("answer from %s with status %s is no health report: %w", address, res.Status, err)
	}
	return s, nil
}
