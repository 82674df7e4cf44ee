//go:build !unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// hangupSignals are none: this system has no such signal. A manifest that changes is noticed all the same.
var hangupSignals []os.Signal

// wsaAddressInUse is WSAEADDRINUSE of Windows Sockets.
const wsaAddressInUse = syscall.Errno(10048)

// isInUse says that an address is another program's.
func isInUse(err error) bool { return errors.Is(err, wsaAddressInUse) }
