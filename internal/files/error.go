package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// PathError turns the os package's "open x: reason" into "x: reason", and "rename x y: reason" into "y: reason". The result
// wraps the reason.
func PathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return fmt.Errorf("%s: %w", l.New, l.Err)
	}
	return err
}
