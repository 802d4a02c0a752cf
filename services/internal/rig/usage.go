// Package rig builds the platform's programs, runs them as processes for measurements and
// trials, and observes what they take.
package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what processes have taken of the machine. Only Linux tells; elsewhere it is
// zero.
type Usage struct {
	CPU     time.Duration // of all threads, in user and in kernel mode
	Peak    int64         // bytes of memory that one had at most, added up over processes
	Written int64         // bytes handed to disks
}

// Minus returns what was taken since an earlier look; the peak is the later one.
func (u Usage) Minus(before Usage) Usage {
	return Usage{CPU: u.CPU - before.CPU, Peak: u.Peak, Written: u.Written - before.Written}
}

// Plus adds up.
func (u Usage) Plus(other Usage) Usage {
	return Usage{CPU: u.CPU + other.CPU, Peak: u.Peak + other.Peak, Written: u.Written + other.Written}
}

// clockTick is what /proc counts processor time in: 1/100 s on every Linux that Go
// runs on.
const clockTick = 10 * time.Millisecond

// UsageOf returns what a process has taken, and its children that have ended and were
// waited for.
func UsageOf(pid int) Usage {
	var u Usage
	dir := fmt.Sprintf("/proc/%d/", pid)
	if stat, err := os.ReadFile(dir + "stat"); err == nil {
		// The name, in parentheses, may hold anything. Behind it stand the state and
		// the rest, of which user, system and the children's times are 12 to 15.
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		for _, i := range []int{11, 12, 13, 14} {
			if i < len(fields) {
				ticks, _ := strconv.ParseInt(fields[i], 10, 64) // a number, says proc(5)
				u.CPU += time.Duration(ticks) * clockTick
			}
		}
	}
	u.Peak = number(dir+"status", "VmHWM:") << 10
	u.Written = number(dir+"io", "write_bytes:")
	return u
}

// UsageOfTree is UsageOf a process and its children, such as those of Postgres. The
// memory that they share is counted once for each: Peak is left out.
func UsageOfTree(pid int) Usage {
	all := UsageOf(pid)
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // of a sound pattern
	for _, path := range children {
		list, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = all.Plus(UsageOfTree(child))
			}
		}
	}
	all.Peak = 0
	return all
}

// number returns the number behind a name in a file of lines, 0 where there is none.
func number(path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // a number, says proc(5)
			return n
		}
	}
	return 0
}
