//go:build !linux

package localpg

import "syscall"

// dieWithParent does nothing: only Linux can. The next Start finds the orphan and stops it.
func dieWithParent(*syscall.SysProcAttr) {}
