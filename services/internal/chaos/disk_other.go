//go:build !linux

package chaos

import "errors"

// disk is a file system in memory that can be made full.
type disk struct{ dir string }

func mount(string, int64) (*disk, error) {
	return nil, errors.New("file systems in memory are made on Linux only")
}

func (*disk) fill() error    { return nil }
func (*disk) empty() error   { return nil }
func (*disk) unmount() error { return nil }
