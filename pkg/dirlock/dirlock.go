// Package dirlock keeps a folder to one process at a time.
//
// It promises that of all processes of this machine that ask, at most one holds the lock of a folder, and that the lock
// dies with its holder, however that dies: it is a flock(2) on a file, not the file's existence. It fails with a
// *HeldError when another process holds the folder. Network file systems without flock are not served.
package dirlock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// File is the name of the lock file inside the folder. It stays when the lock goes: removing it would let two processes
// lock two different files of the same name.
const File = "lock"

// HeldError says that another holder has the folder.
type HeldError struct {
	Dir string
	PID int // of the holder; 0 when it has not said yet
}

// Error names the folder, its holder and what to do.
func (e *HeldError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("folder %s is in use by %s: stop that process, or use another folder", e.Dir, who)
}

// Lock is a held folder.
type Lock struct {
	file *os.File
}

// Acquire takes dir, which must exist, without waiting. It fails with a *HeldError when it is held, also when this very
// process holds it.
func Acquire(dir string) (*Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, File), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &HeldError{Dir: dir, PID: holder(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	// The pid is for people and for HeldError; the lock does not depend on it.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{file: f}, nil
}

// Release gives the folder free. A second call does nothing.
func (l *Lock) Release() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("release the lock: %w", err)
	}
	return nil
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func holder(f *os.File) int {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}
