//go:build !unix

package mmap

import "os"

// Map reads the file into memory: this package can't map files on this system.
func Map(f *os.File, size int) (data []byte, release func() error, err error) { return Read(f, size) }
