package cpu

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
	"unsafe"
	"weak"

	"github.com/go-bert/bert/internal/compute"
)

// sharing knows what was laid out of which values, for as long as somebody uses it.
type sharing struct {
	mu     sync.Mutex
	packed map[[sha256.Size]byte]weak.Pointer[packed]
}

// ShareWeights makes Pack and its kin return what they have laid out of the same values before, while that is in use: models with
// the same encoder then have it in memory once. It is called before anything else. Values are compared by SHA-256.
func (d *Device) ShareWeights() {
	d.sharing = &sharing{packed: make(map[[sha256.Size]byte]weak.Pointer[packed])}
}

// once is what pack makes of values in a form, or what it made of them before.
func (d *Device) once(form compute.Precision, out, in int, values [][]byte, pack func() (*packed, error)) (compute.Packed, error) {
	s := d.sharing
	if s == nil {
		return orNil(pack())
	}
	h := sha256.New()
	fmt.Fprintln(h, form, out, in)
	for _, v := range values {
		h.Write(v)
	}
	key := [sha256.Size]byte(h.Sum(nil))
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.packed[key].Value(); p != nil {
		return p, nil
	}
	p, err := pack()
	if err != nil {
		return nil, err
	}
	s.packed[key] = weak.Make(p)
	runtime.AddCleanup(p, s.forget, key)
	return p, nil
}

// forget removes what nobody uses any more, unless it was laid out again meanwhile.
func (s *sharing) forget(key [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packed[key].Value() == nil {
		delete(s.packed, key)
	}
}

// orNil is a packed weight, or an interface that is nil.
func orNil(p *packed, err error) (compute.Packed, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// bytesOf are the bytes of values in memory.
func bytesOf[T float32 | int8](values []T) []byte {
	var value T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(value)))
}

// bytesOfBuffers are the bytes of weights to pack.
func bytesOfBuffers(weights []compute.Buffer) [][]byte {
	var all [][]byte
	for _, w := range weights {
		all = append(all, bytesOf(source(w, w.Len, "weight to pack")))
	}
	return all
}
