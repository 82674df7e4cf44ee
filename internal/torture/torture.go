// Package torture runs a program and intervenes at the system calls by which it changes files: it kills the program before
// the n-th of them, or lets that one fail. It is how the tests show that a run that dies at any moment can be resumed, and
// that a full disk loses nothing.
//
// It needs Linux, whose seccomp filters hand the calls to a supervisor (seccomp_unotify(2)); elsewhere [Supported] says no.
package torture

// Call is a system call that is about to change a file.
type Call struct {
	N    int    // its number in this run of the program, from 1
	Name string // of the system call
	Path string // of the file that it changes, as far as it can be known; "" otherwise
}

// Action is what becomes of a Call.
type Action uint8

const (
	// Continue lets the call go on.
	Continue Action = iota
	// Kill kills the program, with SIGKILL, before the call is made.
	Kill
	// NoSpace makes the call fail with ENOSPC.
	NoSpace
	// IOError makes the call fail with EIO.
	IOError
	// Interrupt sends the program SIGINT and lets the call go on.
	Interrupt
)
