package localpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// stopOrphan stops a server that still runs on the cluster. We hold the folder's lock, so whoever started it is gone: a
// parent that was killed. It signals only a process that is proven to serve this very data folder, for process ids are
// given anew, in containers soon (`pg_ctl status` proves less: it asks only whether the id is alive).
func stopOrphan(ctx context.Context, p place, logger *slog.Logger) error {
	pidFile := filepath.Join(p.data(), "postmaster.pid")
	pid, err := readPID(pidFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for a server left running: %w", err)
	case !alive(pid):
		return nil // the server clears such a file itself
	}
	switch ours, err := servesData(ctx, pid, p.data()); {
	case err != nil:
		return fmt.Errorf("find out whether process %d serves %s: %w", pid, p.data(), err)
	case !ours && absenceProven:
		logger.WarnContext(ctx, "removed a stale postmaster.pid that names another program", "dir", p.data(), "pid", pid)
		return os.Remove(pidFile)
	case !ours:
		return nil // the server decides, and says what it found
	}
	logger.WarnContext(ctx, "stopping a postgres that a killed process left running", "dir", p.data(), "pid", pid)
	if err := interrupt(ctx, pid, p.data()); err != nil {
		return fmt.Errorf("stop the server left running on %s (process %d): %w", p.data(), pid, err)
	}
	return nil
}

// interrupt asks a server that is not our child for a fast shutdown and waits until its pid file is gone, which is the
// last thing that it does, or its process.
func interrupt(ctx context.Context, pid int, data string) error {
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for {
		now, err := readPID(filepath.Join(data, "postmaster.pid"))
		if errors.Is(err, fs.ErrNotExist) || err == nil && now != pid || !alive(pid) {
			return nil
		}
		if err := pause(ctx, firstPause); err != nil {
			return err
		}
	}
}

// alive reports whether a process of this id exists, whoever owns it.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// readPID reads the first line of a postmaster.pid. A file that says nothing is one that its server did not get to
// write.
func readPID(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if !lines.Scan() {
		return 0, errors.Join(lines.Err(), fmt.Errorf("%s is empty: remove it if no postgres runs on this folder", path))
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if pid < 0 { // a single-user server
		pid = -pid
	}
	return pid, nil
}
