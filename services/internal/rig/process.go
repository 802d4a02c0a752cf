package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// module is where programs are built from.
const module = "github.com/energy-platform/energy/services/"

// Build builds the services, the tool and a nats-server into a folder.
func Build(ctx context.Context, dir string) error {
	for name, pkg := range map[string]string{
		"ingest": module + "ingest", "silver-cleaner": module + "silver-cleaner",
		"gold-aggregator": module + "gold-aggregator", "query": module + "query", "energy": module + "energy",
		"nats-server": "github.com/nats-io/nats-server/v2",
	} {
		out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// process is a program that is started, killed, stopped and started again. What it
// writes is appended to a file.
type process struct {
	name        string // in logs and reports
	path        string
	args        []string
	environment []string
	log         string // path

	mu       sync.Mutex
	cmd      *exec.Cmd     // nil while it does not run
	done     chan struct{} // closed when cmd has ended
	err      error         // of cmd; to be read after done
	asked    bool          // its end was asked for
	greatest int64         // bytes of memory that it ever had
}

// start starts the program.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                      // the program has its own copy
	cmd := exec.Command(p.path, p.args...) //nolint:noctx // it is ended in many ways, none of them a context
	cmd.Env = p.environment
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	started, done := make(chan error), make(chan struct{})
	// The goroutine keeps its thread: the kernel tells the child when that ends.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.done, p.asked = cmd, done, false
	return nil
}

// signal sends a signal to the program, if it runs.
func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

// end sends a signal that ends the program and waits until it has.
func (p *process) end(ctx context.Context, s syscall.Signal) error {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.asked = true
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	p.measure()
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.name, err)
	}
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("%s did not end: %w", p.name, context.Cause(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == s {
			return nil
		}
	}
	return p.err
}

// stop asks the program to stop; one that does not do so in time is killed.
func (p *process) stop(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := p.end(limited, syscall.SIGTERM)
	if limited.Err() != nil {
		err = errors.Join(err, p.end(ctx, syscall.SIGKILL))
	}
	return err
}

const stopTimeout = 30 * time.Second

// ended says how a program ended that nobody asked to, nil when it did not.
func (p *process) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.asked {
		return nil
	}
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself: %w; it wrote to %s: %s", p.name, p.err, p.log, tail(p.log))
	default:
		return nil
	}
}

// tail is the end of what a program wrote.
func tail(path string) string {
	const most = 2 << 10
	said, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(said[max(len(said)-most, 0):])
}

// measure notes the memory that the program has had at most; only Linux tells.
func (p *process) measure() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fields := strings.Fields(rest)
			if kib, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				p.greatest = max(p.greatest, kib<<10)
			}
		}
	}
}
