//go:build !purego

package simd

import (
	"sync"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// tilesPermitted asks the system, once, to let this process use the registers of tiles. Linux saves their 8 KiB with a
// thread only in processes that have asked (Documentation/arch/x86/xstate.rst); it is for all threads and for good.
//
// Go knows nothing of these registers. It need not: assembly is not preempted between goroutines, the functions of package
// simd set the registers up and release them each time, and what a signal interrupts the system restores.
var tilesPermitted = sync.OnceValue(func() bool {
	const (
		requestPermission = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData          = 18     // XFEATURE_XTILE_DATA
	)
	if !cpu.X86.HasAMXTile || !cpu.X86.HasAMXBF16 {
		return false
	}
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
})
