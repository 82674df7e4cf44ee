package cpu

import (
	"syscall"
	"unsafe"
)

// hugePage is the size of one on amd64, and on arm64 with pages of 4 KiB.
const hugePage = 2 << 20

// adviseHugePages asks for huge pages for s, where the system gives them to who asks: products and Adam go through more pages of 4 KiB than
// the processor holds translations of, and being given them one by one takes longer than filling them. The advice goes on to the end of
// the last huge page, of which the next allocation may have the rest: the system gives none that was advised in part. It is a hint, whosever
// the memory. A system that has no huge pages does without.
func adviseHugePages(s []float32) {
	page := uintptr(syscall.Getpagesize())
	from := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	to := (from + uintptr(4*len(s)) + hugePage - 1) / hugePage * hugePage
	from = from / page * page
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_HUGEPAGE)
}
