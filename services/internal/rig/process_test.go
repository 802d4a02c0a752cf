package rig_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/energy-platform/energy/services/internal/rig"
)

func shell(t *testing.T, script string) *rig.Process {
	t.Helper()
	p := &rig.Process{
		Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "shell.log"),
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wait returns how a process ended that nobody asks to.
func wait(t *testing.T, p *rig.Process) error {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for p.Ended() == nil {
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatal("it has not ended")
		}
	}
	return p.Ended()
}

func TestProcess(t *testing.T) {
	t.Parallel()
	t.Run("SaysHowItEndedByItself", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "echo out of order; exit 3")
		err := wait(t, p)
		for _, want := range []string{"shell ended by itself", "exit status 3", "out of order"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("says %q, not %q", err, want)
			}
		}
		if err := p.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("stopped, it says %v", err)
		}
	})
	t.Run("SaysSoAlsoOfOneThatEndedWell", func(t *testing.T) {
		t.Parallel()
		if err := wait(t, shell(t, "exit 0")); !strings.Contains(err.Error(), "ended by itself: exit status 0;") {
			t.Error(err)
		}
	})
	t.Run("EndsWhenAskedAndStartsAgain", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "exec sleep 1000")
		for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			if err := p.Ended(); err != nil {
				t.Fatal(err)
			}
			if err := p.End(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if err := p.Ended(); err != nil {
				t.Errorf("it was asked to end, and says %v", err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("AnswersForItsExitWhenStopped", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done")
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for !strings.Contains(read(t, p.Log), "ready") {
			<-look.C
			if err := p.Ended(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 4") {
			t.Errorf("stopped, it says %v", err)
		}
	})
	t.Run("KeepsItsPeakOverItsLives", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "exec sleep 1000")
		peak := p.Usage().Peak
		if peak == 0 {
			t.Skip("this system does not tell what processes take")
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if u := p.Usage(); u.Peak < peak || u.CPU != 0 {
			t.Errorf("ended, it has %+v; its peak was %d", u, peak)
		}
	})
}
