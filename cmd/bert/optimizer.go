package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/train"
)

// optimizerFlags say how each step of a run changes the model.
type optimizerFlags struct {
	optimizer *choice
	schedule  *choice
}

func (f *optimizerFlags) add(cmd *cobra.Command, o *train.Options) {
	f.optimizer = newChoice(train.GoogleAdam.String(), train.GoogleAdam.String(), train.AdamW.String(), train.LAMB.String())
	addChoice(cmd, f.optimizer, "optimizer", "google: as google-research/bert, without bias correction; adamw: as PyTorch; lamb: for very large batches")
	f.schedule = newChoice(train.OwnSchedule.String(), train.OwnSchedule.String(), train.GoogleLinear.String(), train.Linear.String(), train.Constant.String())
	addChoice(cmd, f.schedule, "lr-schedule", "how the learning rate falls; own: as the optimizer's authors have it")
	cmd.Flags().Float64Var(o.WeightDecay, "weight-decay", *o.WeightDecay, "the weight decay `RATE`, for all but biases and LayerNorm")
	cmd.Flags().Float64Var(o.ClipNorm, "max-grad-norm", *o.ClipNorm, "clip gradients to the global `NORM`; 0: never")
}

// fill sets the options that the choices name.
func (f *optimizerFlags) fill(o *train.Options) (err error) {
	if o.Optimizer, err = train.ParseOptimizer(f.optimizer.value); err != nil {
		return usageError{err}
	}
	if o.Schedule, err = train.ParseSchedule(f.schedule.value); err != nil {
		return usageError{err}
	}
	return nil
}

// checkNewModel reports an output folder that holds a model already, which a new run would overwrite: the one to begin with,
// which flag names, or another.
func checkNewModel(o *train.Options, flag, model string) error {
	if o.Resume {
		return nil
	}
	if model, err := os.Stat(model); err == nil {
		if output, err := os.Stat(o.Output); err == nil && os.SameFile(model, output) {
			return usagef("--output is the folder of %s: want another one", flag)
		}
	}
	if _, err := os.Stat(filepath.Join(o.Output, "model.safetensors")); err == nil {
		return fmt.Errorf("%s: there is a model in this folder: choose another, or --resume its run", o.Output)
	}
	return nil
}
