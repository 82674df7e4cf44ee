package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Pages is the memory of a process in bytes. Proportional divides each shared page by the number of processes that share it.
type Pages struct{ Resident, Proportional int64 }

// PagesOf returns the memory of a running process (smaps_rollup of proc(5)).
func PagesOf(pid int) (p Pages, known bool) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return p, false
	}
	for line := range bytes.Lines(rollup) {
		for name, to := range map[string]*int64{"Rss:": &p.Resident, "Pss:": &p.Proportional} {
			if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == name {
				n, err := strconv.ParseInt(string(f[1]), 10, 64)
				if err != nil {
					return p, false
				}
				*to = n << 10
			}
		}
	}
	return p, p.Resident > 0
}
