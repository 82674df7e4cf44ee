package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/go-bert/bert/recipe"
)

// pathError turns the os package's "open x: reason" into "x: reason".
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// flagName is the flag of a recipe's key.
func flagName(key string) string { return "--" + strings.ReplaceAll(key, "_", "-") }

// flagNamed is a mistake in a recipe that flags gave, with the flag's name in place of the key's. Other errors stay as they are.
func flagNamed(err error) error {
	var wrong *recipe.Error
	if errors.As(err, &wrong) {
		return usageError{errors.New(wrong.Naming(flagName))}
	}
	return err
}
