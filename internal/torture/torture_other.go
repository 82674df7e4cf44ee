//go:build !linux || !(amd64 || arm64)

package torture

import (
	"errors"
	"os/exec"
)

// Supported reports whether Run works on this system.
func Supported() bool { return false }

// Begin does nothing on this system.
func Begin() {}

// Run is not supported on this system.
func Run(*exec.Cmd, func(Call) Action) error { return errors.ErrUnsupported }
