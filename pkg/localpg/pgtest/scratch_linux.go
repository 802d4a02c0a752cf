package pgtest

import "syscall"

// free is the room for files in dir, in bytes; 0 when there is no such folder.
func free(dir string) uint64 {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0
	}
	return fs.Bavail * uint64(fs.Bsize)
}
