package mmap

import "golang.org/x/sys/unix"

// forget takes whole pages of a mapped file out of this process's memory. They are read only, so that nothing is lost.
func forget(pages []byte) { _ = unix.Madvise(pages, unix.MADV_DONTNEED) }
