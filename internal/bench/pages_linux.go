package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Pages are the bytes of memory that a process has: all that is resident, and that with each page that several processes
// have divided by their number.
type Pages struct{ Resident, Proportional int64 }

// PagesOf asks for the pages of a running process (smaps_rollup of proc(5)).
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
