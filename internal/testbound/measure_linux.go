//go:build linux && !race

package testbound

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

const canMeasure = true

// measure returns the peak resident set of this process in bytes, and the time of the processor that it took.
func measure() (peak int64, cpu time.Duration, err error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, 0, err
	}
	cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			if _, err := fmt.Sscanf(value, "%d kB", &peak); err != nil {
				return 0, 0, err
			}
			return peak << 10, cpu, nil
		}
	}
	return 0, 0, fmt.Errorf("no VmHWM in /proc/self/status")
}
