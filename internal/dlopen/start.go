//go:build linux && (amd64 || arm64)

package dlopen

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A request is the beginning of the shared memory, as the assembly knows it. Who has the turn writes it.
type request struct {
	turn      uint32
	_         uint32
	function  uint64
	arguments [MaxArguments]uint64
	result    uint64
	base      uint64 // the address of the shared memory in the server
	// addresses in the server
	dlopen, dlsym, dlerror uint64
	text                   [requestSize - 120]byte // names and messages
}

// requestSize is the size of a request: a page, so that the memory of the callers begins with one.
const requestSize = 4096

// The values of request.turn.
const (
	callersTurn = 1 // the server waits for a request; the result of the one before is there
	serversTurn = 2
	noTurn      = 3 // the server has ended
)

// Process is a server. Its methods may be called at the same time; calls of functions follow one another.
type Process struct {
	name    string
	process *os.Process
	shared  []byte
	request *request
	strncpy uintptr // of libc: what dlerror says is gone with the next call of the loader

	mu    sync.Mutex
	ended chan struct{} // closed when the server has ended and state says how
	dead  atomic.Bool
	state string
}

// Start starts a server. It has the signals blocked that are meant for this process: those of terminals, launchers and users.
func Start(o Options) (*Process, error) {
	interpreter := o.Interpreter
	if interpreter == "" {
		var err error
		if interpreter, err = findInterpreter(); err != nil {
			return nil, err
		}
	}
	size := (requestSize + o.Memory + requestSize - 1) / requestSize * requestSize
	// The server inherits this descriptor, and finds its number in its table.
	memory, err := unix.MemfdCreate(o.Name+"-memory", 0)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	defer unix.Close(memory) // both have it mapped by then
	if err := unix.Ftruncate(memory, int64(size)); err != nil {
		return nil, os.NewSyscallError("ftruncate", err)
	}
	shared, err := unix.Mmap(memory, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	p := &Process{name: o.Name, shared: shared, request: (*request)(unsafe.Pointer(&shared[0])), ended: make(chan struct{})}
	if err := p.start(interpreter, memory, o.Environment); err != nil {
		unix.Munmap(shared)
		return nil, fmt.Errorf("can't start a process for shared libraries: %w", err)
	}
	if err := p.await(0); err != nil {
		unix.Munmap(shared)
		return nil, err
	}
	if p.strncpy, err = p.symbol(0, "strncpy"); err != nil {
		_ = p.Close() // there is a better error
		return nil, err
	}
	if err := p.nameItself(); err != nil {
		_ = p.Close() // there is a better error
		return nil, err
	}
	return p, nil
}

// nameItself gives the server's thread the name that top shows, of which the kernel takes 15 bytes. It is that of the executable before,
// the number of a descriptor.
func (p *Process) nameItself() error {
	prctl, err := p.symbol(0, "prctl")
	if err != nil {
		return err
	}
	r := p.request
	r.text[copy(r.text[:len(r.text)-1], p.name)] = 0
	_, err = p.call(prctl, unix.PR_SET_NAME, uintptr(r.base)+unsafe.Offsetof(r.text))
	return err
}

// blockedSignals are the signals for this process that others may get too, since they are sent to a group or a job.
var blockedSignals = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGWINCH,
}

// start starts the server, whose descriptor of the shared memory is memory.
func (p *Process) start(interpreter string, memory int, environment []string) error {
	start, serve := code()
	t := table{Descriptor: uint64(memory), Size: uint64(len(p.shared))}
	for _, s := range blockedSignals {
		t.BlockedSignals |= 1 << (s - 1)
	}
	path, remove, err := executable(p.name, image(runtime.GOARCH, interpreter, function(start), function(serve), t))
	if err != nil {
		return err
	}
	input, err := os.Open(os.DevNull)
	if err != nil {
		remove()
		return err
	}
	started := make(chan error, 1)
	go func() {
		// The kernel kills the server when the thread that has started it ends, which this makes the thread of this goroutine alone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		process, err := os.StartProcess(path, []string{p.name}, &os.ProcAttr{
			Env:   append(os.Environ(), environment...),
			Files: []*os.File{input, os.Stderr, os.Stderr}, // this program's output is not the library's
			Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
		})
		remove()
		input.Close()
		p.process = process
		started <- err
		if err != nil {
			return
		}
		state, err := process.Wait()
		if err != nil {
			p.state = err.Error()
		} else {
			p.state = state.String()
		}
		p.dead.Store(true)
		atomic.StoreUint32(&p.request.turn, noTurn)
		wake(&p.request.turn)
		close(p.ended)
	}()
	return <-started
}

// executable makes a file in memory of the bytes of an executable. remove removes it when it runs.
func executable(name string, image []byte) (path string, remove func(), err error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3, all such files could be run
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return "", nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(image); err != nil {
		f.Close()
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), func() { f.Close() }, nil
}

// interpreters are the usual places of loaders, of glibc and of musl.
var interpreters = map[string][]string{
	"amd64": {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"},
	"arm64": {"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"},
}

// findInterpreter finds the system's loader. It is that of the shell, if that is no static program: a system may have several.
func findInterpreter() (string, error) {
	if path := interpreterOf("/bin/sh"); path != "" {
		return path, nil
	}
	tried := interpreters[runtime.GOARCH]
	for _, path := range tried {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", &InterpreterError{tried}
}

// interpreterOf is the loader that an executable asks for; "" if it has none.
func interpreterOf(executable string) string {
	f, err := elf.Open(executable)
	if err != nil {
		return ""
	}
	defer f.Close()
	if f.Machine != machines[runtime.GOARCH] {
		return ""
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz <= requestSize {
			path := make([]byte, p.Filesz)
			if _, err := io.ReadFull(p.Open(), path); err == nil {
				return string(bytes.TrimRight(path, "\x00"))
			}
		}
	}
	return ""
}

// Memory is the memory that is shared with the server, after what this package needs.
func (p *Process) Memory() []byte { return p.shared[requestSize:] }

// Floats is a part of Memory as numbers. The offset is a multiple of 4.
func (p *Process) Floats(offset, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(&p.Memory()[offset:][:4*n][0])), n)
}

// Address is the address in the server of a place in Memory.
func (p *Process) Address(offset int) uintptr {
	return uintptr(p.request.base) + requestSize + uintptr(offset)
}

// Call calls a function, an address in the server, and returns its result. The arguments are integers, or addresses in the
// server; there are at most MaxArguments. A function whose result is a C int leaves the upper half of it undefined.
func (p *Process) Call(function uintptr, arguments ...uintptr) (uintptr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.call(function, arguments...)
}

func (p *Process) call(function uintptr, arguments ...uintptr) (uintptr, error) {
	switch {
	case p.shared == nil:
		return 0, &ExitError{p.name, "it was closed"}
	case p.dead.Load():
		<-p.ended
		return 0, &ExitError{p.name, p.state}
	}
	r := p.request
	r.function = uint64(function)
	for i := range r.arguments {
		r.arguments[i] = 0
	}
	for i, a := range arguments {
		r.arguments[i] = uint64(a)
	}
	atomic.StoreUint32(&r.turn, serversTurn)
	wake(&r.turn)
	if err := p.await(serversTurn); err != nil {
		return 0, err
	}
	return uintptr(r.result), nil
}

// await waits as long as the turn has the given value, and the server lives.
func (p *Process) await(turn uint32) error {
	for !p.dead.Load() {
		if atomic.LoadUint32(&p.request.turn) != turn {
			break
		}
		sleep(&p.request.turn, turn)
	}
	if p.dead.Load() { // it may have died since
		<-p.ended
		return &ExitError{p.name, p.state}
	}
	return nil
}

// Open loads a library with all it needs, and gives its handle. name is what dlopen takes: a path, or the name of a file that the
// loader finds. Its symbols are visible to libraries that are loaded later.
func (p *Process) Open(name string) (uintptr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.look(uintptr(p.request.dlopen), name, func(text uintptr) []uintptr { return []uintptr{text, now | global} })
}

// Symbol is the address of a symbol of a library; of handle 0, of any library that is loaded.
func (p *Process) Symbol(handle uintptr, name string) (uintptr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.symbol(handle, name)
}

func (p *Process) symbol(handle uintptr, name string) (uintptr, error) {
	return p.look(uintptr(p.request.dlsym), name, func(text uintptr) []uintptr { return []uintptr{handle, text} })
}

// look calls a function of the loader that takes a name and gives an address, or nothing and says why.
func (p *Process) look(function uintptr, name string, arguments func(text uintptr) []uintptr) (uintptr, error) {
	r := p.request
	if len(name) >= len(r.text) || bytes.IndexByte([]byte(name), 0) >= 0 {
		return 0, &LoadError{fmt.Sprintf("%.100q", name), "it is no name"}
	}
	r.text[copy(r.text[:], name)] = 0
	address, err := p.call(function, arguments(uintptr(r.base)+unsafe.Offsetof(r.text))...)
	if err != nil || address != 0 {
		return address, err
	}
	message, err := p.call(uintptr(r.dlerror))
	if err != nil {
		return 0, err
	}
	reason, err := p.text(message)
	if err != nil {
		return 0, err
	}
	return 0, &LoadError{name, reason}
}

// text is a C string of the server, as far as it fits into a request.
func (p *Process) text(address uintptr) (string, error) {
	if address == 0 || p.strncpy == 0 {
		return "unknown reason", nil
	}
	r := p.request
	r.text = [len(r.text)]byte{}
	if _, err := p.call(p.strncpy, uintptr(r.base)+unsafe.Offsetof(r.text), address, uintptr(len(r.text)-1)); err != nil {
		return "", err
	}
	text, _, _ := bytes.Cut(r.text[:], []byte{0})
	return string(text), nil
}

// Ended is closed when the server has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// ID is the number of the server's process.
func (p *Process) ID() int { return p.process.Pid }

// Close ends the server, which runs what its libraries have for the end of a process, and frees the memory. It is an error if the
// server had ended before.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared == nil {
		return nil
	}
	err := p.exit()
	unix.Munmap(p.shared)
	p.shared, p.request = nil, nil
	return err
}

// exitTime is how long a server may take to end by itself.
const exitTime = 10 * time.Second

func (p *Process) exit() error {
	exit, err := p.symbol(0, "exit")
	if err == nil {
		killer := time.AfterFunc(exitTime, func() { p.process.Kill() })
		_, err = p.call(exit, 0)
		killer.Stop()
	}
	var ended *ExitError
	if errors.As(err, &ended) && ended.State == "exit status 0" {
		return nil
	}
	p.process.Kill()
	<-p.ended
	return err
}

// wake wakes who waits for a word of the shared memory, in whichever process. See futex(2).
func wake(word *uint32) {
	syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 1 /* FUTEX_WAKE */, 1, 0, 0, 0)
}

// sleep waits until the word is woken, unless its value is not the given one. It may return for no reason.
func sleep(word *uint32, value uint32) {
	syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 0 /* FUTEX_WAIT */, uintptr(value), 0, 0, 0)
}
