package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/dirlock"
)

const (
	memory       = "/dev/shm"
	memoryNeeded = 4 << 30 // bytes free there; containers often have 64 MiB
	scratchName  = "pgtest-"
	scratchAge   = time.Minute // older and unlocked: its process is gone
)

// newScratch makes the folder of the server. It lies in memory where there is room: copying a template makes hundreds
// of files, which has been measured to take 20 ms there and 300 to 600 ms on a disk.
func newScratch() (string, error) {
	parent := os.TempDir()
	if free(memory) >= memoryNeeded {
		parent = memory
	}
	sweep(parent)
	dir, err := os.MkdirTemp(parent, scratchName)
	if err != nil {
		return "", err
	}
	// The server's user must reach the folder when the tests run as root.
	return dir, os.Chmod(dir, 0o755)
}

// sweep removes what test processes have left that were killed, or that ended by the time-out of go test. A folder
// whose lock is held, or that has just been made, is in use. What cannot be removed, for it is another user's, is left.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if !strings.HasPrefix(e.Name(), scratchName) || !e.IsDir() || err != nil ||
			time.Since(info.ModTime()) < scratchAge {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		if lock, err := dirlock.Acquire(dir); err == nil {
			_ = errors.Join(os.RemoveAll(dir), lock.Release())
		}
	}
}
