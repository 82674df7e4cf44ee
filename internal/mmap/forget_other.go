//go:build !linux

package mmap

// forget does nothing: what becomes of mapped pages is left to the system.
func forget([]byte) {}
