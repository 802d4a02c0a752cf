package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNotRunning says that no server runs on a folder.
var ErrNotRunning = errors.New("no private Postgres runs there")

// Lines of postmaster.pid, as Postgres documents them.
const (
	pidLine  = 0
	portLine = 3
)

// Find returns what [Server.URL] does, for a server that another process runs on
// the folder. It starts nothing. Who may not read the password is told so.
func Find(dir, database string) (string, error) {
	url, err := find(dir, database)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("localpg: %s: %w", dir, ErrNotRunning)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("localpg: %w: ask as the user who runs the server", err)
	case err != nil:
		return "", fmt.Errorf("localpg: %w", err)
	}
	return url, nil
}

func find(dir, database string) (string, error) {
	p := place{parent: dir}
	switch moved, err := os.ReadFile(filepath.Join(dir, movedName)); {
	case err == nil:
		p.parent = filepath.Dir(strings.TrimSpace(string(moved)))
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	password, err := os.ReadFile(p.password())
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.data(), "postmaster.pid")
	state, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	lines := strings.Split(string(state), "\n")
	if len(lines) <= portLine {
		return "", fmt.Errorf("%s tells no port: is the server starting?", path)
	}
	pid, errPID := strconv.Atoi(strings.TrimSpace(lines[pidLine]))
	port, errPort := strconv.Atoi(strings.TrimSpace(lines[portLine]))
	if err := errors.Join(errPID, errPort); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if !alive(pid) { // killed: the file is what it left
		return "", fs.ErrNotExist
	}
	return dsn(port, strings.TrimSpace(string(password)), database), nil
}
