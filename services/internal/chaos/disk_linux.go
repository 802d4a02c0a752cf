package chaos

import (
	"fmt"
	"os"
	"syscall"
)

// disk is a file system in memory that can be made full.
type disk struct {
	dir  string
	size int64
}

// mount makes a disk on a folder. Only root may.
func mount(dir string, size int64) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount("energy-chaos", dir, "tmpfs", 0, options(size)); err != nil {
		return nil, fmt.Errorf("mount a file system in memory on %s: %w", dir, err)
	}
	return &disk{dir, size}, nil
}

func options(size int64) string { return fmt.Sprintf("size=%d,mode=755", size) }

// fill leaves no room: the disk becomes as large as what it holds.
func (d *disk) fill() error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &fs); err != nil {
		return err
	}
	used := int64(fs.Blocks-fs.Bfree) * fs.Bsize
	return d.resize(used + slack)
}

// slack is what is left free: somebody writes between the look and the resizing.
const slack = 64 << 10

// empty gives the room back.
func (d *disk) empty() error { return d.resize(d.size) }

func (d *disk) resize(size int64) error {
	if err := syscall.Mount("energy-chaos", d.dir, "tmpfs", syscall.MS_REMOUNT, options(size)); err != nil {
		return fmt.Errorf("resize the disk to %d bytes: %w", size, err)
	}
	return nil
}

func (d *disk) unmount() error { return syscall.Unmount(d.dir, syscall.MNT_DETACH) }
