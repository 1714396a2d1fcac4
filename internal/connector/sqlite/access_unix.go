//go:build unix

package sqlite

import "syscall"

// mayCreate asks whether files can be made in a folder, without making one.
func mayCreate(dir string) bool {
	const writeAndSearch = 0x2 | 0x1
	return syscall.Access(dir, writeAndSearch) == nil
}
