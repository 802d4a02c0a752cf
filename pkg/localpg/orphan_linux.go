package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// absenceProven: a process whose working directory is elsewhere is no server of ours, however it was started.
const absenceProven = true

// servesData reports whether the process is a server on the data folder. Its command line, which everyone may read,
// proves that it is one of ours. Its working directory, which a postmaster has in the data folder from its first moment
// on, also finds one that was started by hand; where it may not be read (root in a container without CAP_SYS_PTRACE), a
// process of another name is no server, and a server of unknown folder is an error: the answer no must be certain.
func servesData(_ context.Context, pid int, data string) (bool, error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false, ifAlive(pid, err)
	}
	args := bytes.Split(line, []byte{0})
	server := filepath.Base(string(args[0])) == "postgres"
	if server && bytes.Contains(line, []byte("\x00-D\x00"+data+"\x00")) {
		return true, nil
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	switch {
	case err == nil:
		return cwd == data, nil
	case errors.Is(err, fs.ErrPermission) && !server:
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("it is a postgres of a folder that we may not learn: %w: stop it by hand", err)
	}
	return false, ifAlive(pid, err)
}

// ifAlive forgets an error that only says that the process has ended meanwhile.
func ifAlive(pid int, err error) error {
	if alive(pid) {
		return err
	}
	return nil
}
