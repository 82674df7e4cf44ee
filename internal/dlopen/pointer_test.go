//go:build linux && (amd64 || arm64)

package dlopen

import "unsafe"

// ptr points to a place in the shared memory.
func ptr(p *Process, offset int) unsafe.Pointer { return unsafe.Pointer(&p.Memory()[offset]) }

func must(address uintptr, err error) uintptr {
	if err != nil {
		panic(err)
	}
	return address
}
