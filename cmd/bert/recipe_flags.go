package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/recipe"
)

// recipeKey is the annotation of a flag that gives the value of a recipe's key.
const recipeKey = "key of a recipe"

// recipeFlags binds flags to the keys of a recipe: --learning-rate to learning_rate. --recipe reads a file, whose values other
// flags replace; --print-recipe prints what comes of it.
type recipeFlags struct {
	cmd *cobra.Command
	// scratch is a recipe with its defaults, for the help, which takes the values of flags to check them.
	scratch   any
	exclusive [][]string // keys of which a recipe has one
	file      string
	print     bool
}

// add defines the flag of a key. choices, if there are any, are its values.
func (f *recipeFlags) add(flags *pflag.FlagSet, key, usage string, choices ...string) {
	v := &recipeValue{scratch: f.scratch, key: key, kind: recipe.Kind(f.scratch, key), choices: choices}
	flag := flags.VarPF(v, strings.TrimPrefix(flagName(key), "--"), "", usage)
	if v.kind == "bool" {
		flag.NoOptDefVal = "true"
	}
	annotate(flag, recipeKey, key)
}

// addFile defines --recipe and --print-recipe.
func (f *recipeFlags) addFile(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "recipe", "", "read the values of flags from `FILE`, a JSON object like recipe.json in a run's folder; flags replace them")
	flags.BoolVar(&f.print, "print-recipe", false, "print the recipe that the flags make, as JSON, and end")
}

// finish completes the flags once all are defined.
func (f *recipeFlags) finish() {
	_ = f.cmd.MarkFlagFilename("recipe", "json") // the errors are for flags that do not exist or have a completion already
	f.cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if v, ok := flag.Value.(*recipeValue); ok && len(v.choices) > 0 {
			_ = f.cmd.RegisterFlagCompletionFunc(flag.Name, cobra.FixedCompletions(v.choices, cobra.ShellCompDirectiveNoFileComp))
		}
	})
	for _, keys := range f.exclusive {
		names := make([]string, len(keys))
		for i, key := range keys {
			names[i] = strings.TrimPrefix(flagName(key), "--")
		}
		f.cmd.MarkFlagsMutuallyExclusive(names...)
	}
}

// read fills a recipe, given as a pointer, from the file and the flags.
func (f *recipeFlags) read(to any) error {
	if f.file != "" {
		if err := recipe.ReadFile(f.file, to); err != nil {
			return err
		}
	}
	var err error
	f.cmd.Flags().Visit(func(flag *pflag.Flag) {
		if keys := flag.Annotations[recipeKey]; len(keys) == 1 && err == nil {
			err = f.replace(to, keys[0], flag.Value.String())
		}
	})
	return flagNamed(err)
}

// replace sets a key, and clears those that exclude it.
func (f *recipeFlags) replace(to any, key, value string) error {
	for _, keys := range f.exclusive {
		for _, other := range keys {
			if other == key {
				if err := clearKeys(to, keys); err != nil {
					return err
				}
			}
		}
	}
	return recipe.Set(to, key, value)
}

// clearKeys gives keys of a recipe their defaults.
func clearKeys(to any, keys []string) error {
	for _, key := range keys {
		if err := recipe.Unmarshal(fmt.Appendf(nil, "{%q: null}", key), to); err != nil {
			return err
		}
	}
	return nil
}

// recipeValue is the value of a flag that a recipe has a key for.
type recipeValue struct {
	scratch any
	key     string
	kind    string
	choices []string
	given   bool
}

func (v *recipeValue) String() string {
	if v.scratch == nil { // pflag asks the zero value
		return ""
	}
	text, _ := recipe.Text(v.scratch, v.key)
	return text
}

func (v *recipeValue) Type() string {
	if len(v.choices) > 0 {
		return strings.Join(v.choices, "|")
	}
	return v.kind
}

// Set takes a value; of a list, one that is given again is appended.
func (v *recipeValue) Set(text string) error {
	if v.kind == "strings" && v.given {
		text = v.String() + "," + text
	}
	v.given = true
	err := recipe.Set(v.scratch, v.key, text)
	var wrong *recipe.Error
	if errors.As(err, &wrong) {
		return errors.New("want " + wrong.Want)
	}
	return err
}
