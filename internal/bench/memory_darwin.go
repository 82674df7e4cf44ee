package bench

import (
	"runtime/debug"
	"syscall"
)

// ResetPeakMemory returns unused memory to the system. On this system it can't reset PeakMemory.
func ResetPeakMemory() { debug.FreeOSMemory() }

// PeakMemory returns the peak memory of the process in bytes, or 0 if it is unknown.
func PeakMemory() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss // in bytes, unlike on other systems
}
