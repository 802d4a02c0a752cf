package localpg

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// abandoned starts the cluster in another process, kills that with SIGKILL, and returns the postmaster's process id.
func abandoned(t *testing.T, dir string, outlive bool) int {
	t.Helper()
	cmd := exec.CommandContext(newContext(t), os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	if outlive {
		cmd.Env = append(cmd.Env, helperOutlive+"=1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the helper says %q", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as meant
	return pid
}

// running reports whether the process executes: a zombie, whose parent in a container may never wait for it, does not.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if runtime.GOOS != "linux" {
		return alive(pid)
	}
	return err == nil && !bytes.Contains(b, []byte(") Z "))
}

// safeBuffer is a log that may be written and read at once.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestOrphan(t *testing.T) {
	t.Parallel()

	t.Run("IsStoppedByTheNextStart", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		pid := abandoned(t, dir, true)
		if !running(pid) {
			t.Fatal("the server did not outlive its parent: nothing to heal")
		}
		log := &safeBuffer{}
		s := mustStart(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if s.PID() == pid {
			t.Error("the orphan was not replaced")
		}
		eventually(t, "the orphan still runs", func() bool { return !running(pid) })
		if !strings.Contains(log.String(), "stopping a postgres that a killed process left running") {
			t.Errorf("log = %s, want it to say so", log)
		}
	})

	t.Run("DoesNotOutliveItsParentOnLinux", func(t *testing.T) {
		t.Parallel()
		if runtime.GOOS != "linux" {
			t.Skip("only Linux has a parent-death signal")
		}
		dir := newDir(t)
		pid := abandoned(t, dir, false)
		eventually(t, "the orphan still runs", func() bool { return !running(pid) })
		mustStart(t, Options{Dir: dir})
	})

	t.Run("IsNotMistakenForAnotherProgramOfItsID", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		mustStop(t, mustStart(t, Options{Dir: dir}))
		other := exec.CommandContext(newContext(t), "sleep", "60")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Wait() }() // killed, as meant
		defer other.Process.Kill()
		stale := filepath.Join(dir, "cluster", "data", "postmaster.pid")
		if err := os.WriteFile(stale, []byte(strconv.Itoa(other.Process.Pid)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if absenceProven {
			mustStart(t, Options{Dir: dir})
		} else if s, err := Start(newContext(t), Options{Dir: dir}); err == nil {
			mustStop(t, s)
		}
		if !running(other.Process.Pid) {
			t.Error("an innocent process was stopped")
		}
	})
}
