package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
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

// offered adds to an error about what is read the flags of the command that help.
func offered(cmd *cobra.Command, err error) error {
	var (
		record *data.SourceError
		not    *data.NotTextError
		flags  []string
	)
	offer := func(name, text string) {
		if f := cmd.Flags().Lookup(name); f != nil && !(f.Changed && f.Value.Type() == "bool") {
			flags = append(flags, "--"+name+text)
		}
	}
	if errors.As(err, new(*data.EncodingError)) || errors.As(err, &not) && not.Undecoded {
		offer("encoding", " NAME decodes it")
	}
	if errors.As(err, &record) && record.Skippable && record.Source.File != argumentName {
		offer("skip-bad", " leaves such records out")
	}
	if flags == nil {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(flags, ", "))
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
