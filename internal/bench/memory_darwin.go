package bench

import (
	"runtime/debug"
	"syscall"
)

// ResetPeakMemory gives memory that is no longer used back. Here PeakMemory is of the whole process.
func ResetPeakMemory() { debug.FreeOSMemory() }

// PeakMemory is the most bytes of memory that the process has had; 0 if that is not known.
func PeakMemory() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss // in bytes, unlike elsewhere
}
