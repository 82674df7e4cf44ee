//go:build !linux && !darwin

package bench

import "runtime/debug"

// ResetPeakMemory returns unused memory to the system.
func ResetPeakMemory() { debug.FreeOSMemory() }

// PeakMemory returns 0: the peak is unknown on this system.
func PeakMemory() int64 { return 0 }
