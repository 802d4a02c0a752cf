package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/dirlock"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	folder := func(name string, age time.Duration) string {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		lock, err := dirlock.Acquire(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lock.Release() })
		if name != scratchName+"held" {
			lock.Release()
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	stale := folder(scratchName+"stale", time.Hour)
	kept := []string{
		folder(scratchName+"held", time.Hour),
		folder(scratchName+"new", 0),
		folder("other", time.Hour),
	}

	sweep(parent)

	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v, want it removed", stale, err)
	}
	for _, dir := range kept {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("%v, want it kept", err)
		}
	}
}
