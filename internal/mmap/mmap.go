// Package mmap gives the bytes of a file, mapped where the system can: opening is instant, pages come in as they are
// touched, and processes that open the same file share them. A mapped file must not be cut short while it is in use.
package mmap

import (
	"fmt"
	"io"
	"os"
)

// Read returns the bytes of a file of the given size, read into memory. release does nothing; it is for what takes Map
// and Read alike.
func Read(f *os.File, size int) (data []byte, release func() error, err error) {
	data = make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return data, func() error { return nil }, nil
}
