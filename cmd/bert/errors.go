package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
)

// suggestAllowMissing names the flag that accepts a model's tensors that are missing or left over.
func suggestAllowMissing(err error) error {
	var e *bert.TensorError
	if !errors.As(err, &e) {
		return err
	}
	switch e.Reason {
	case bert.TensorMissing, bert.HeadMissing:
		return fmt.Errorf("%w; with --allow-missing they begin as in a new model", err)
	default:
		return err
	}
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
