package bench

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/energy-platform/energy/services/internal/rig"
)

// TestServiceThatEndsIsNoticed: nobody waits for readings that a service that is no more
// would have brought to Postgres.
func TestServiceThatEndsIsNoticed(t *testing.T) {
	t.Parallel()
	shell := func(name, script string) *rig.Process {
		p := &rig.Process{
			Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), name+".log"),
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	s := &services{all: []*rig.Process{shell("ingest", "exec sleep 1000"), shell("query", "read wait; exit 1")}}
	for s.failed() == nil {
		if pause(t.Context(), pollPause) != nil {
			t.Fatal("query has ended, which nobody noticed")
		}
	}
	if err := s.failed(); !strings.Contains(err.Error(), "query ended by itself: exit status 1") {
		t.Error(err)
	}
	err := healthy(t.Context(), s.all[1], "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "query ended by itself") {
		t.Errorf("who waits for its health is told %v", err)
	}
	if err := s.stop(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("stopped, they say %v", err)
	}
}
