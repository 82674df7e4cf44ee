//go:build !linux

package cpu

import "runtime"

// yield lets other goroutines have the processor, if any want it.
func yield() { runtime.Gosched() }
