package bench

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
)

// ResetPeakMemory returns unused memory to the system and resets PeakMemory to the memory in use.
func ResetPeakMemory() {
	debug.FreeOSMemory()
	// If that is not permitted, PeakMemory covers the whole life of the process.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// PeakMemory returns the peak resident memory in bytes since ResetPeakMemory, including mapped files (VmHWM of proc(5)), or 0 if it
// is unknown.
func PeakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return kilobytes(status, "VmHWM:")
}

// kilobytes is the value of a line of proc(5)'s status, in bytes; 0 where there is none.
func kilobytes(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			number, ok := bytes.CutSuffix(bytes.TrimSpace(rest), []byte(" kB"))
			n, err := strconv.ParseInt(string(number), 10, 64)
			if !ok || err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}
