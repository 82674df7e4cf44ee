package main

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// readLimits reads those of the control group and of the groups above it (cgroups(7), version 2). What can't be read is no limit.
func readLimits() limits { return limitsIn("/sys/fs/cgroup", "/proc/self/cgroup") }

func limitsIn(root, self string) (l limits) {
	text, err := os.ReadFile(self)
	if err != nil {
		return l
	}
	for line := range strings.Lines(string(text)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			l.lower(filepath.Join(root, dir))
			if dir == "/" {
				break
			}
		}
	}
	return l
}

// lower takes the limits of a group where they are lower.
func (l *limits) lower(dir string) {
	if text, err := os.ReadFile(filepath.Join(dir, "memory.max")); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && (l.bytes == 0 || n < l.bytes) {
			l.bytes = n
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "cpu.max")); err == nil {
		quota, period, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		q, err1 := strconv.ParseFloat(quota, 64)
		p, err2 := strconv.ParseFloat(period, 64)
		if err1 == nil && err2 == nil && q > 0 && p > 0 && (l.cpus == 0 || q/p < l.cpus) {
			l.cpus = q / p
		}
	}
}
