package localpg

import "syscall"

// dieWithParent has the kernel ask the server for a fast shutdown should we die without stopping it, so that a
// kill -9 of ours leaves no server behind. See launch for the thread that this needs. Elsewhere, and where it fails,
// the next Start finds the orphan and stops it.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGINT }
