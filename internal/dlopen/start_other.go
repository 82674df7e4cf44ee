//go:build !linux || (!amd64 && !arm64)

package dlopen

// Process is a server. There is none on this system.
type Process struct{}

// Start returns ErrUnsupported.
func Start(Options) (*Process, error) { return nil, ErrUnsupported }

// Memory is nil.
func (p *Process) Memory() []byte { return nil }

// Floats is nil.
func (p *Process) Floats(offset, n int) []float32 { return nil }

// Address is 0.
func (p *Process) Address(int) uintptr { return 0 }

// Call returns ErrUnsupported.
func (p *Process) Call(uintptr, ...uintptr) (uintptr, error) { return 0, ErrUnsupported }

// Open returns ErrUnsupported.
func (p *Process) Open(string) (uintptr, error) { return 0, ErrUnsupported }

// Symbol returns ErrUnsupported.
func (p *Process) Symbol(uintptr, string) (uintptr, error) { return 0, ErrUnsupported }

// Ended is nil.
func (p *Process) Ended() <-chan struct{} { return nil }

// ID is 0.
func (p *Process) ID() int { return 0 }

// Close does nothing.
func (p *Process) Close() error { return nil }
