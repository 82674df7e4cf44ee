package files

import (
	"errors"
	"fmt"
	"io/fs"
)

// PathError turns the os package's "open x: reason" into "x: reason". What errors.Is and errors.As find in err they find
// in the result too, but for the *fs.PathError itself.
func PathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
