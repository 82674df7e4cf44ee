package main

import (
	"errors"
	"fmt"
	"io/fs"
)

// pathError turns the os package's "open x: reason" into "x: reason".
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
