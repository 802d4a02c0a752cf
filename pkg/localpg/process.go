package localpg

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// killGrace is what an immediate shutdown gets before SIGKILL; the postmaster itself gives its children five seconds.
const killGrace = 7 * time.Second

// process is a started postmaster.
type process struct {
	cmd   *exec.Cmd
	done  chan struct{} // closed when it is gone
	err   error         // of Wait; to be read after done
	grace time.Duration // see killGrace
}

// launch starts cmd and waits for it in a goroutine that ends with the process.
//
// That goroutine keeps its thread: on Linux the kernel sends the parent-death signal when the *thread* that forked
// ends, and Go ends threads as it likes. A thread that forks, then sleeps in Wait until the child is gone, cannot end
// early.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{}), grace: killGrace}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal reports nothing: a process that is gone needs none, and done tells.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// kill shuts down without a checkpoint (the next start recovers from the WAL), then by force, and returns when the
// process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(p.grace):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// stopOnce makes Stop run once and tell every caller the same.
type stopOnce struct {
	once  sync.Once
	asked atomic.Bool
	err   error
}

// Stop ends the server in its fast way (sessions are cut, what is committed is checkpointed), waits until it is gone
// and gives the folder free. When ctx ends first it kills the server, which the next Start recovers from, and says so.
// Stopping twice, or a server that has crashed, is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.once.Do(func() { s.stop.err = s.shutdown(ctx) })
	return s.stop.err
}

func (s *Server) shutdown(ctx context.Context) error {
	select {
	case <-s.proc.done: // it crashed before
		return s.lock.Release()
	default:
	}
	s.stop.asked.Store(true)
	var late error
	s.proc.signal(syscall.SIGINT)
	select {
	case <-s.proc.done:
		s.logger.InfoContext(ctx, "postgres has stopped", "pid", s.PID())
	case <-ctx.Done():
		s.proc.kill()
		late = fmt.Errorf("localpg: postgres was killed, for it had not stopped in time: %w: "+
			"the next start recovers it", context.Cause(ctx))
	}
	return errors.Join(late, s.lock.Release())
}
