package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/hub"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/starter"
	"github.com/go-bert/bert/task"
)

// The annotations of what names a model.
const (
	// namesModel marks a flag whose value is a model's name or path, and a command whose first argument is one.
	namesModel = "names a model"
	// needsAnswers marks a command that runs a fine-tuned model, unless it is given instances for pre-training.
	needsAnswers = "needs answers"
)

// markModel says that the value of a flag is a model's name or path. withModel makes it a path.
func markModel(cmd *cobra.Command, flag string) {
	completeModelName(cmd, flag)
	_ = cmd.Flags().SetAnnotation(flag, namesModel, nil) // the error is for a flag that does not exist
}

// completeModelName completes the name or path of a model. It is for a flag whose value stays as it is, for a recipe.
func completeModelName(cmd *cobra.Command, flag string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, completeModel(false)) // the error is for a flag that does not exist
}

// defaultModel makes the starter model the default of --model.
func defaultModel(cmd *cobra.Command) {
	flag := cmd.Flags().Lookup("model")
	flag.DefValue = starter.Pretrained.String()
	_ = flag.Value.Set(flag.DefValue) // a string takes every value
}

// withModel puts the path of a model where a flag or an argument of a command names one. A name that leads nowhere stays:
// the command first reports mistakes in its other flags.
func (a *app) withModel(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		var unknown *hub.NotFoundError
		resolve := func(name string, given bool) (string, error) {
			path, err := a.modelPath(cmd, name, given)
			if errors.As(err, &unknown) {
				return name, nil
			}
			return path, err
		}
		var err error
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if _, ok := flag.Annotations[namesModel]; !ok || err != nil || flag.Value.String() == "" {
				return
			}
			var path string
			if path, err = resolve(flag.Value.String(), flag.Changed); err == nil {
				err = flag.Value.Set(path)
			}
		})
		if _, ok := cmd.Annotations[namesModel]; ok && err == nil && len(args) > 0 {
			args[0], err = resolve(args[0], true)
		}
		if err != nil {
			return err
		}
		if err = run(cmd, args); unknown != nil && errors.Is(err, fs.ErrNotExist) {
			return explainUnknown(unknown)
		}
		return err
	}
}

// modelPath is where the model of a name is. given is false for a name that is a flag's default, which is the starter model.
func (a *app) modelPath(cmd *cobra.Command, name string, given bool) (string, error) {
	builtIn := starterModel{answers: wantsAnswers(cmd)}
	if !given {
		path, err := builtIn.find(cmd.Context(), name)
		if err != nil {
			return "", err
		}
		a.log.Info(fmt.Sprintf("the model is %s, a small one that comes with the program; --model DIR names another", builtIn.found))
		a.cached = path
		return path, nil
	}
	l, err := hub.Resolve(cmd.Context(), name, hub.ResolveOptions{BuiltIn: builtIn.find})
	if l.Shared {
		a.cached = l.Path
	}
	if l.Checkpoint != "" {
		line := fmt.Sprintf("%s is the output folder of a Trainer: taking %s, its newest checkpoint", name, l.Checkpoint)
		if len(l.Damaged) > 0 {
			line += " that is whole (not " + sentenceList(l.Damaged[:min(len(l.Damaged), maxWarnings)], "or") + ")"
		}
		a.log.Info(line)
	}
	var damaged *hub.DamagedError
	if errors.As(err, &damaged) {
		return "", fmt.Errorf("%w (bert pull %s)", err, damaged.Ref)
	}
	return sentence.EncoderDir(l.Path), err
}

// wantsAnswers says that a command, as it was called, needs a model that answers.
func wantsAnswers(cmd *cobra.Command) bool {
	if weights := cmd.Flags().Lookup("weights"); weights != nil && weights.Value.String() == task.GradientWeights.String() {
		return true
	}
	_, answers := cmd.Annotations[needsAnswers]
	return answers && !cmd.Flags().Changed("instances")
}

// starterModel gives hub.Resolve the models that come with the program.
type starterModel struct {
	answers bool // "starter" means the classifier
	found   starter.Model
}

func (s *starterModel) find(ctx context.Context, name string) (string, error) {
	var err error
	if s.found, err = starter.ParseModel(name); err != nil {
		return "", nil // another model
	}
	if s.answers {
		s.found = starter.Sentiment
	}
	dir, err := starter.Dir(ctx, s.found)
	if errors.Is(err, starter.ErrMissing) {
		return "", fmt.Errorf("%w: name another model, or fetch one with bert pull", err)
	}
	return dir, err
}

// explainUnknown says of a name that leads to no model what to do about it.
func explainUnknown(err *hub.NotFoundError) error {
	if !errors.Is(err, hub.ErrNotCached) {
		return err
	}
	return fmt.Errorf("%s: no such folder, and no model of this name has been pulled: bert pull %s fetches it, if the hub has it", err.Name, err.Name)
}
