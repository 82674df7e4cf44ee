// Package mmap maps files into memory where the system supports it: opening is instant, pages are loaded as they are
// touched, and processes that map the same file share them. A mapped file must not be truncated while it is in use.
package mmap

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"
)

// Read reads a file of the given size into memory. release does nothing; it exists so that Read can stand in for Map.
func Read(f *os.File, size int) (data []byte, release func() error, err error) {
	data = make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return data, func() error { return nil }, nil
}

// mapped are the files that Map has mapped and not released, by where they begin.
var mapped struct {
	mu    sync.Mutex
	files map[uintptr]int // their sizes
}

func addressOf(data []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(data))) }

// register remembers a mapped file until the function that it returns is called.
func register(data []byte) (unregister func()) {
	mapped.mu.Lock()
	defer mapped.mu.Unlock()
	if mapped.files == nil {
		mapped.files = map[uintptr]int{}
	}
	at := addressOf(data)
	mapped.files[at] = len(data)
	return func() {
		mapped.mu.Lock()
		defer mapped.mu.Unlock()
		delete(mapped.files, at)
	}
}

// Forget lets go of the memory of data, a part of a mapped file, as far as whole pages of it are concerned: they no longer count as
// this process's, and are loaded again when they are touched. It does nothing to data that is not of a file that Map has mapped.
func Forget(data []byte) {
	mapped.mu.Lock()
	defer mapped.mu.Unlock()
	begin, end := addressOf(data), addressOf(data)+uintptr(len(data))
	for at, size := range mapped.files {
		if begin < at || end > at+uintptr(size) {
			continue
		}
		page := uintptr(os.Getpagesize())
		before, behind := (page-begin%page)%page, end%page
		if before+behind < uintptr(len(data)) {
			forget(data[before : uintptr(len(data))-behind])
		}
		return
	}
}
