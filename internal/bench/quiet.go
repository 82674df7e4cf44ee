package bench

import (
	"context"
	"time"
)

// AwaitQuiet waits, for patience at most, until all processors together are busy for less than most within a moment. It returns the patience
// that is left, and whether there was such a moment; there is none where MachineTime is unknown.
func AwaitQuiet(ctx context.Context, patience, moment, most time.Duration) (left time.Duration, quiet bool) {
	for ; patience > 0 && ctx.Err() == nil; patience -= moment {
		before, known := MachineTime()
		if !known {
			return patience, false
		}
		time.Sleep(moment)
		if after, _ := MachineTime(); after-before < most {
			return patience, true
		}
	}
	return patience, false
}
