package localpg

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// command prepares a tool of Postgres: as the given user (nil: as ourselves), in the given folder, in a process group
// of its own (a Ctrl-C in the terminal is for us, who then stop Postgres in our order), and with an environment that
// holds nothing of ours: PGDATA or PGPORT of the caller would speak of another cluster.
//
// The end of ctx interrupts it as Ctrl-C would, and kills it when that does not help.
func command(ctx context.Context, as *syscall.Credential, dir, tool string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/local/bin:/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// runTool runs a command to its end. Its error holds what the tool said.
func runTool(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Path, err, tail(out, logTail))
	}
	return nil
}

// tail is the last n bytes of a tool's or server's words, from the start of a line where there is one.
func tail(b []byte, n int) string {
	s := string(b)
	if len(s) > n {
		s = s[len(s)-n:]
		if _, after, ok := strings.Cut(s, "\n"); ok {
			s = after
		}
	}
	return strings.TrimSpace(s)
}
