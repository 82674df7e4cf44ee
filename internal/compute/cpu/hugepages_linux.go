package cpu

import (
	"syscall"
	"unsafe"
)

// hugePagesFrom is how many bytes are worth huge pages, which are 2 MiB on amd64.
const hugePagesFrom = 8 << 20

// adviseHugePages asks for huge pages behind s, where the system gives them to who asks: products and Adam go through
// more pages of 4 KiB than the processor holds translations of. A system that has none does without.
func adviseHugePages(s []float32) {
	size := 4 * len(s)
	if size < hugePagesFrom {
		return
	}
	page := syscall.Getpagesize()
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), size)
	from := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % uintptr(page)) // to the first whole page
	_ = syscall.Madvise(b[from:from+(size-from)/page*page], syscall.MADV_HUGEPAGE)
}
