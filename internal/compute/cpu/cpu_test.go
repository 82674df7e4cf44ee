package cpu

import (
	"testing"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/computetest"
	"github.com/go-bert/bert/internal/simd"
)

// at opens the device at a level for the length of a test.
func at(t testing.TB, level simd.Level, threads int) *Device {
	t.Helper()
	k, ok := simd.For(level)
	if !ok {
		t.Skipf("no level %v here", level)
	}
	d := NewAt(k, threads)
	t.Cleanup(d.Close)
	return d
}

func TestDevice(t *testing.T) {
	for _, level := range simd.Available() {
		t.Run(level.String(), func(t *testing.T) {
			computetest.Run(t, func(t testing.TB, threads int) compute.Device { return at(t, level, threads) })
		})
	}
}
