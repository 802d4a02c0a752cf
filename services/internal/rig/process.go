package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a program that is started, killed, stopped and started again. What it
// writes is appended to a file. It dies with the process that started it.
type Process struct {
	Name        string // in errors and reports
	Path        string
	Args        []string
	Environment []string
	Log         string // path

	mu    sync.Mutex
	cmd   *exec.Cmd     // nil while it does not run
	done  chan struct{} // closed when cmd has ended
	err   error         // of cmd; to be read after done
	asked bool          // its end was asked for
	peak  int64         // bytes of memory that it ever had
}

// Start starts the program.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                      // the program has its own copy
	cmd := exec.Command(p.Path, p.Args...) //nolint:noctx // it is ended in many ways, none of them a context
	cmd.Env = p.Environment
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
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done, p.asked = cmd, done, false
	return nil
}

// Signal sends a signal to the program, if it runs.
func (p *Process) Signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

// End sends a signal that ends the program and waits until it has.
func (p *Process) End(ctx context.Context, s syscall.Signal) error {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.asked = true
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	p.Usage() // the last look at its memory
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.Name, err)
	}
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("%s did not end: %w", p.Name, context.Cause(ctx))
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

// Stop asks the program to stop; one that does not do so in time is killed.
func (p *Process) Stop(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := p.End(limited, syscall.SIGTERM)
	if limited.Err() != nil {
		err = errors.Join(err, p.End(ctx, syscall.SIGKILL))
	}
	return err
}

const stopTimeout = 30 * time.Second

// Ended says how a program ended that nobody asked to, nil when it did not.
func (p *Process) Ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.asked {
		return nil
	}
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself: %s; it wrote to %s: %s", p.Name, p.cmd.ProcessState, p.Log, tail(p.Log))
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

// Usage returns what the program has taken since it was started last, 0 while it does not
// run; but the peak is the greatest of all times that it was looked at, ended or not.
func (p *Process) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	var u Usage
	if p.cmd != nil {
		u = UsageOf(p.cmd.Process.Pid)
	}
	p.peak = max(p.peak, u.Peak)
	u.Peak = p.peak
	return u
}
