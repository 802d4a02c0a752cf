package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/localpg"
)

// syncBuffer is a buffer that a process writes to while the test looks.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// TestUpResumesAndChangesNothing runs the main job twice as a user would, with a
// private Postgres and a data folder, and asks for the end by SIGINT.
func TestUpResumesAndChangesNothing(t *testing.T) {
	t.Parallel()
	dir := upFolder(t)
	first := upOnce(t, dir)
	for _, want := range []string{
		"acknowledged  338933 readings", "gold has them all", "2006-12-17", "56.508", "energy query --server",
		"drained and stopped",
		"MQTT     mqtt://127.0.0.1:",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("the first run does not print %q:\n%s", want, first)
		}
	}
	before := storedContent(t, dir)
	second := upOnce(t, dir)
	if days(first) != days(second) || days(first) == "" {
		t.Errorf("the second run prints other days:\n%s", second)
	}
	sameRows(t, "content", before, storedContent(t, dir))
}

// upFolder makes a folder that the user postgres can reach.
func upFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "energy-up-") //nolint:usetesting // t.TempDir is closed to the user postgres
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// upOnce runs `energy up --load` until it serves, interrupts it, and returns
// what it printed.
func upOnce(t *testing.T, dir string) string {
	t.Helper()
	up := startUp(t, dir, "serving until Ctrl-C", "--mqtt-listen", "127.0.0.1:0",
		"--load", householdFile, "--mapping", householdMapping)
	return up.end(t)
}

// upProcess is an `energy up` that serves.
type upProcess struct {
	process
	out   *syncBuffer
	ended chan error
	grpc  string
}

// startUp runs `energy up` on a folder until it has said what is waited for.
func startUp(t *testing.T, dir, said string, args ...string) *upProcess {
	t.Helper()
	up := &upProcess{out: new(syncBuffer), ended: make(chan error, 1), grpc: freeAddress(t)}
	up.process = process{name: "energy", environment: []string{
		"DATABASE_URL=", "ENERGY_NATS_URL=", "ENERGY_HTTP_LISTEN=" + freeAddress(t), "ENERGY_GRPC_LISTEN=" + up.grpc,
	}, args: append([]string{"up", "--data", dir, "--nats-listen", "127.0.0.1:0"}, args...)}
	up.startInto(t, up.out)
	go func() { up.ended <- up.cmd.Wait() }()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); !strings.Contains(up.out.String(), said); {
		select {
		case err := <-up.ended:
			t.Fatalf("energy up ended with %v:\n%s", err, up.out)
		case <-poll.C:
			if time.Now().After(deadline) {
				_ = up.cmd.Process.Kill() // the test has failed already
				t.Fatalf("energy up does not serve after %s:\n%s", patience, up.out)
			}
		}
	}
	return up
}

// end interrupts it and returns what it printed.
func (up *upProcess) end(t *testing.T) string {
	t.Helper()
	if err := up.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-up.ended; err != nil {
		t.Errorf("energy up did not drain cleanly: %v\n%s", err, up.out)
	}
	return up.out.String()
}

// days returns the table of days of what energy up printed.
func days(output string) string {
	_, table, _ := strings.Cut(output, "gold has them all")
	_, table, _ = strings.Cut(table, "\n")
	table, _, _ = strings.Cut(table, "ask next")
	return table
}

// storedContent returns gold.content of the private cluster of a data folder.
func storedContent(t *testing.T, dir string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := localpg.Start(ctx, localpg.Options{Dir: filepath.Join(dir, "postgres"), Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	conn, err := pgx.Connect(ctx, server.URL("energy"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT v::text FROM gold.content v ORDER BY entity, metric, unit, start, width")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		t.Fatal(fmt.Errorf("gold.content of %s is empty", dir))
	}
	return lines
}
