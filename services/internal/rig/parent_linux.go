package rig

import "syscall"

// dieWithParent has the kernel end the program should we die without doing so.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
