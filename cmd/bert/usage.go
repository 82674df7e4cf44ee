package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a mistake in the command line. The exit status is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// noArguments is the Args of a command that has flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q: %s takes flags only", args[0], cmd.CommandPath())
	}
	return nil
}

func unknownCommand(parent *cobra.Command, name string) error {
	hint := parent.CommandPath() + " --help lists the verbs"
	parent.SuggestionsMinimumDistance = 2
	if s := parent.SuggestionsFor(name); len(s) > 0 {
		hint = "did you mean " + strings.Join(s, " or ") + "?"
	}
	return usagef("there is no command %q: %s", name, hint)
}

// flagError explains a mistake in a flag. If an unknown flag is one of other verbs, it says which; else it suggests the flag that
// the name resembles.
func flagError(cmd *cobra.Command, err error) error {
	help := cmd.CommandPath() + " --help lists the flags"
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		number  *strconv.NumError
	)
	switch {
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown, help)
	case errors.As(err, &missing):
		return usagef("--%s needs a value: want %s", missing.GetFlag().Name, flagHead(missing.GetFlag()))
	case errors.As(err, &number): // of a flag that takes a number, or several
		want := "a whole number"
		switch number.Func {
		case "ParseBool":
			want = "true or false"
		case "ParseFloat":
			want = "a number"
		}
		if errors.Is(number, strconv.ErrRange) {
			want += " that is not as large"
		}
		if errors.As(err, &invalid) {
			return usagef("--%s is %q, want %s", invalid.GetFlag().Name, invalid.GetValue(), want)
		}
	case errors.As(err, &invalid):
		return usagef("--%s is %q: %w", invalid.GetFlag().Name, invalid.GetValue(), errors.Unwrap(invalid))
	}
	return usagef("%w (%s)", err, help)
}

func unknownFlag(cmd *cobra.Command, err *pflag.NotExistError, help string) error {
	name := strings.ReplaceAll(err.GetSpecifiedName(), "_", "-")
	if letters := err.GetSpecifiedShortnames(); letters != "" {
		letters, _, _ = strings.Cut(letters, "=")
		if best := resembles(cmd, letters); best != "" && len(letters) > 1 {
			return usagef("there is no flag -%s: did you mean --%s?", letters, best)
		}
		return usagef("there is no flag -%s: %s", letters, help)
	}
	if verbs := verbsWith(cmd.Root(), name); len(verbs) > 0 {
		return usagef("--%s is a flag of %s, not of %s: %s", name, sentenceList(verbs, "and"), strings.TrimPrefix(cmd.CommandPath(), "bert "), help)
	}
	if best := resembles(cmd, name); best != "" {
		return usagef("there is no flag --%s: did you mean --%s?", name, best)
	}
	return usagef("there is no flag --%s: %s", name, help)
}

// exclusive rewords cobra's error for flags of which only one may be given.
func exclusive(err error) error {
	_, given, ok := strings.Cut(err.Error(), "none of the others can be; [")
	if !ok {
		return err
	}
	flags := strings.Fields(strings.TrimSuffix(given, "] were all set"))
	for i, name := range flags {
		flags[i] = "--" + name
	}
	return fmt.Errorf("%s exclude each other: want one of them", sentenceList(flags, "and"))
}

// resembles returns the flag of a command whose name is nearest to name; "" if none is near.
func resembles(cmd *cobra.Command, name string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, f := range flagsOf(cmd) {
		d := editDistance(name, f.Name)
		if strings.HasPrefix(f.Name, name) || strings.HasSuffix(f.Name, name) {
			d = min(d, 1)
		}
		if d < least {
			best, least = f.Name, d
		}
	}
	return best
}

// verbsWith lists the commands below root that have a flag, sorted.
func verbsWith(root *cobra.Command, name string) []string {
	var verbs []string
	walk(root, func(cmd *cobra.Command) {
		if f := cmd.LocalNonPersistentFlags().Lookup(name); f != nil && !f.Hidden {
			verbs = append(verbs, strings.TrimPrefix(cmd.CommandPath(), root.Name()+" "))
		}
	})
	slices.Sort(verbs)
	return verbs
}

// editDistance is the number of letters to insert, delete or change to turn a into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
