//go:build !linux

package localpg

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
)

// absenceProven: a command line that does not name the folder could still be a server that someone started by hand from
// within it, so its pid file is not ours to remove.
const absenceProven = false

// servesData reports whether the process was started with this data folder, as ours are.
func servesData(ctx context.Context, pid int, data string) (bool, error) {
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return false, ctx.Err() // ps fails for a process that is gone
	}
	line := string(out)
	return strings.Contains(line, "postgres") && strings.Contains(line, " -D "+data+" "), nil
}
