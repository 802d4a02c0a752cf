package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// collectorBinary builds the OpenTelemetry Collector's receiver once: it is of a module
// of its own.
var collectorBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binariesDir, "collector")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, ".")
	cmd.Dir, cmd.Env = "collector", append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build collector: %w\n%s", err, out)
	}
	return path, nil
})

// span is a span as the collector has taken it in.
type span struct {
	Service, Name, Trace, ID, Parent, Status string
	Links                                    []struct{ Trace, ID string }
	Attributes                               map[string]any
}

func (s *span) String() string {
	return fmt.Sprintf("%s: %s %s in trace %s below %q, %d links, %v",
		s.Service, s.Name, s.ID, s.Trace, s.Parent, len(s.Links), s.Attributes)
}

// collector is a running receiver and what it has taken in.
type collector struct {
	endpoint string // of OTLP over gRPC

	mu    sync.Mutex
	spans []*span
	more  chan struct{} // closed when there are more spans, and made anew
}

// startCollector runs a receiver until the test ends, behind all that exports to it.
func startCollector(t *testing.T) *collector {
	t.Helper()
	path, err := collectorBinary()
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	c := &collector{endpoint: "http://" + address, more: make(chan struct{})}
	cmd := exec.Command(path, "-grpc", address, "-http", freeAddress(t))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() { read <- c.read(out) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-read; err != nil {
			t.Errorf("read what the collector says: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the collector ended with %v: %s", err, said.String())
		}
	})
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
			conn.Close()
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("the collector does not listen: %s", said.String())
		}
	}
}

func (c *collector) read(out io.Reader) error {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF { //nolint:errorlint // as ReadBytes says
			return nil
		}
		s := new(span)
		if err == nil {
			err = json.Unmarshal(line, s)
		}
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.spans = append(c.spans, s)
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
	}
}

// await waits until what has arrived is as wanted, and returns it.
func (c *collector) await(t *testing.T, what string, wanted func([]*span) bool) []*span {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		c.mu.Lock()
		spans, more := slices.Clip(c.spans), c.more
		c.mu.Unlock()
		if wanted(spans) {
			return spans
		}
		select {
		case <-more:
		case <-limit.C:
			for _, s := range spans {
				t.Log(s)
			}
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// matching returns the spans that match.
func matching(spans []*span, match func(*span) bool) (out []*span) {
	for _, s := range spans {
		if match(s) {
			out = append(out, s)
		}
	}
	return out
}

// named returns those spans of a trace, of all if it is "".
func named(spans []*span, trace, name string) []*span {
	return matching(spans, func(s *span) bool { return s.Name == name && (trace == "" || s.Trace == trace) })
}

// below reports whether each span of a level has its parent in the one above, and there
// are spans in both.
func below(spans, parents []*span) bool {
	if len(spans) == 0 || len(parents) == 0 {
		return false
	}
	ids := make(map[string]bool)
	for _, s := range parents {
		ids[s.ID] = true
	}
	for _, s := range spans {
		if !ids[s.Parent] {
			return false
		}
	}
	return true
}
