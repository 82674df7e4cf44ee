//go:build !unix

package mmap

import "os"

// Map reads the file where this package knows no mapping.
func Map(f *os.File, size int) (data []byte, release func() error, err error) { return Read(f, size) }
