package bench

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
)

// ResetPeakMemory gives memory that is no longer used back and begins PeakMemory anew from what is in use.
func ResetPeakMemory() {
	debug.FreeOSMemory()
	// Where it may not be written the peak is that of the whole process.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// PeakMemory is the most bytes of memory that the process has had since ResetPeakMemory, files that it has mapped and
// touched included (VmHWM of proc(5)); 0 if that is not known.
func PeakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kilobytes, ok := bytes.CutSuffix(bytes.TrimSpace(rest), []byte(" kB"))
			n, err := strconv.ParseInt(string(kilobytes), 10, 64)
			if !ok || err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}
