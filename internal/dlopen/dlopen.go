// Package dlopen calls functions of shared libraries from a static program.
//
// A static program has no loader and no C library, so it can't load one into itself. Linking it dynamically would tie it to a C
// library, which a static program is free of. So the library is loaded into a process of its own, which is started when
// it is asked for:
//
//	this process (static, Go)                     its server (dynamic, no Go)
//	──────────────────────────                    ───────────────────────────
//	image.go builds an executable in memory ───►  the kernel maps it and the system's loader, ld.so
//	                                              ld.so loads libc.so.6 and fills in dlopen, dlsym, dlerror
//	                                              start (server_*.s) calls libc's __libc_start_main, as any C program does
//	Process.Call ── function, arguments ───────►  serve (server_*.s) calls the function
//	             ◄────────────── result ────────  and waits for the next
//
// Both map the same memory: a page for requests, and the rest for what functions read and write. Each waits for the other on a
// futex, so that neither uses a core in the meantime. The executable is some hundred bytes of tables and two functions
// in assembly, which are copied from this program; it exists in memory alone (memfd_create). The kernel and ld.so set the process
// up as they do every other, so that the library finds what it expects: thread-local storage, signal handlers, a stack, a heap.
// What it does with them stays there: a handler for SIGSEGV or SIGCHLD, a hook in malloc or munmap, a thread pinned to a core, a
// crash. The memory that it sees is never moved or given back by Go's collector.
//
// The server dies with this process, however that ends. If the server dies, calls return an *[ExitError].
package dlopen

import (
	"errors"
	"fmt"
)

// Options say how a server is started.
type Options struct {
	// Name is what lists of processes show.
	Name string
	// Environment are lines KEY=VALUE that the server has beside this process's environment.
	Environment []string
	// Memory is the number of bytes that are shared with the server, for arguments and results. What is not touched takes nothing.
	Memory int
	// Interpreter is the path of the system's loader; "" finds it.
	Interpreter string
}

// MaxArguments is the most arguments of a function.
const MaxArguments = 8

// Flags of dlopen, the same in glibc and musl.
const (
	now    = 0x002 // RTLD_NOW
	global = 0x100 // RTLD_GLOBAL
)

// ErrUnsupported says that this system has no such servers: they need Linux on amd64 or arm64.
var ErrUnsupported = errors.New("shared libraries can be loaded on Linux alone, on amd64 and arm64")

// InterpreterError says that the system has no loader for shared libraries, as in an image FROM scratch.
type InterpreterError struct {
	Tried []string
}

func (e *InterpreterError) Error() string {
	return fmt.Sprintf("this system has no loader for shared libraries: there is none of %v", e.Tried)
}

// LoadError is what the loader said of a library or of one of its symbols.
type LoadError struct {
	Name   string // of the library, or of the symbol
	Reason string // of dlerror
}

func (e *LoadError) Error() string { return fmt.Sprintf("%s can't be loaded: %s", e.Name, e.Reason) }

// ExitError says that the server has ended.
type ExitError struct {
	Name  string // Options.Name
	State string // as in "exit status 1", "signal: killed"
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("the process %s has ended: %s", e.Name, e.State)
}
