//go:build !linux

package bench

import (
	"os"
	"time"
)

// What the machine and its processes do is known on Linux alone.

// MachineTime is unknown.
func MachineTime() (busy time.Duration, known bool) { return 0, false }

// ProcessTime is unknown.
func ProcessTime(int) time.Duration { return 0 }

// LoadAverage is unknown.
func LoadAverage() float64 { return 0 }

// PeakOf is unknown.
func PeakOf(*os.ProcessState) int64 { return 0 }

// ProcessMemory is unknown.
func ProcessMemory(int) (now, peak int64) { return 0, 0 }

// Processor is unknown.
func Processor() string { return "unknown processor" }
