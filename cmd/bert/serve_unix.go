//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// hangupSignals ask for loading anew.
var hangupSignals = []os.Signal{syscall.SIGHUP}

// isInUse says that an address is another program's.
func isInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
