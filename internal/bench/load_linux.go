package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of the processor times in /proc, which Linux has for programs on all its architectures.
const tick = 10 * time.Millisecond

// MachineTime is the time that all processors have been busy, or taken from this machine by its host.
func MachineTime() (busy time.Duration, known bool) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	for i, field := range strings.Fields(string(line)) {
		n, _ := strconv.ParseInt(field, 10, 64)
		switch i { // proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests count among the first two
		case 1, 2, 3, 6, 7, 8:
			busy += time.Duration(n) * tick
		}
	}
	return busy, true
}

// ProcessTime is the processor time of a process and its children that have ended.
func ProcessTime(pid int) (used time.Duration) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ") // the name may have blanks
	for i, field := range strings.Fields(rest) {
		if i >= 11 && i <= 14 { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(field, 10, 64)
			used += time.Duration(n) * tick
		}
	}
	return used
}

// LoadAverage is that of the last minute.
func LoadAverage() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

// PeakOf is the peak resident memory of a process that has ended, in bytes.
func PeakOf(state *os.ProcessState) int64 {
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}

// Processor is the system's name of the processor.
func Processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for l := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown processor"
}

// ProcessMemory is the resident memory of a process in bytes, now and at its peak; 0: unknown.
func ProcessMemory(pid int) (now, peak int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	return kilobytes(status, "VmRSS:"), kilobytes(status, "VmHWM:")
}
