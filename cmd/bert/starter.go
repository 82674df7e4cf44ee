package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/starter"
)

// defaultModel makes the starter model the default of --model.
func defaultModel(cmd *cobra.Command) {
	flag := cmd.Flags().Lookup("model")
	flag.DefValue = starter.Pretrained.String()
	_ = flag.Value.Set(flag.DefValue) // a string takes every value
}

// findStarter is the folder of the starter model that name means to a command, after unpacking it there; "" if it means none.
// The name starter means the classifier to a command that needs answers, and the pre-trained model to all others. given is
// false for a name that is a flag's default. A name that was given is rather a folder's, if that has a model or tokenizer in it.
func (a *app) findStarter(cmd *cobra.Command, name string, given bool) (string, error) {
	m := starter.Pretrained
	switch {
	case name == starter.Sentiment.String() || name == starter.Pretrained.String() && answers(cmd):
		m = starter.Sentiment
	case name != starter.Pretrained.String():
		return "", nil
	}
	if given && isModelDir(name) {
		return "", nil
	}
	dir, err := starter.Dir(m)
	if err != nil {
		return "", err
	}
	if !given {
		a.log.Info(fmt.Sprintf("the model is %s, a small one that comes with the program; --model DIR names another", m))
	}
	a.cached = dir
	return dir, nil
}

// needsAnswers is the annotation of commands that run a model which was fine-tuned, unless they are given pre-training instances.
const needsAnswers = "needs answers"

// answers says whether a command, with the flags it has got, runs such a model.
func answers(cmd *cobra.Command) bool {
	_, ok := cmd.Annotations[needsAnswers]
	return ok && !cmd.Flags().Changed("instances")
}

// isModelDir says whether a folder has in it what every model directory or tokenizer has.
func isModelDir(dir string) bool {
	for _, name := range []string{"config.json", "bert_config.json", "tokenizer.json", "vocab.txt"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// modelArgument is the path that an argument names a model with.
func (a *app) modelArgument(cmd *cobra.Command, name string) (string, error) {
	dir, err := a.findStarter(cmd, name, true)
	if dir == "" {
		dir = name
	}
	return dir, err
}
