package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/distill"
	"github.com/go-bert/bert/hub"
	"github.com/go-bert/bert/train"
)

// distillFlags are those of bert distill.
type distillFlags struct {
	recipe  *recipeFlags
	options distill.Options
	most    byteSize // of the cache
	out     outputFlags
}

func (a *app) distillCommand() *cobra.Command {
	f := &distillFlags{most: distill.DefaultCacheBytes}
	cmd := &cobra.Command{
		Use:   "distill --teacher DIR --student MODEL (--task TASK --data PATH | --text FILE,…) --output DIR [flags]",
		Short: "Train a small model to say what a large one says",
		Long: `distill trains a small model, the student, to give a large model's answers, the teacher's: for the task that the teacher was
fine-tuned for (--task and --data, as finetune takes them), or on plain text without labels (--text, a text a line; or --instances).

--student is a model directory, a config.json, or a size such as 2x128: two layers of width 128, with random weights and all else as the
teacher has it. --student-layers, instead of it, makes the student of the teacher's own layers.

What the student learns are losses, each with a weight (--label-weight, --logit-weight and so on). Those above 0 are added up:

  label  the labels; of text masked words and, where --instances has pairs, next sentences: as without a teacher
  logit  the teacher's answers at a --temperature (Hinton et al. 2015); on text, to masked words
  hidden  hidden states of the layers of --layer-map (TinyBERT)
  attention  their attention, head by head (TinyBERT)
  relation  what queries, keys and values of a layer are to one another (MiniLM, MiniLMv2)
  cosine  the direction of the last hidden states (DistilBERT)
  sentence  the vectors of texts, by squared error
  sentence-cosine  their direction

Without any but the first, it is the logits for a task, the vectors for text and a teacher of sentence-transformers, and relations for
other text. The student needs neither the teacher's width nor, but for --logit-weight on text, its vocabulary, as
long as both cut the words of the data into the same pieces.

The teacher computes ahead of the student. --cache keeps what it says on disk, for later epochs and other runs. --augment adds copies of a
task's examples in which words are replaced by what a masked language model would say in their place (TinyBERT).

The output folder becomes an ordinary model directory, for predict, evaluate, quantize and convert. recipe.json holds the values of the
flags, and --recipe takes it. Ctrl-C ends the run after the current step and saves it; --resume goes on from the newest checkpoint, with
the same flags, and ends with the same bits.`,
		Example: `  bert distill --teacher sst2-model --student 2x128 --task sst2 --data glue/SST-2 --output small --num-train-epochs 10
  bert distill --teacher sst2-model --student-layers every-other --task sst2 --data glue/SST-2 --output half --label-weight 0.5 --logit-weight 0.5
  bert distill --teacher bert-base-uncased --student 4x312.json --text corpus.txt --output general --hidden-weight 1 --attention-weight 1
  bert distill --teacher all-MiniLM-L6-v2 --student 2x128 --student-embeddings teacher --text sentences.txt --output small-vectors`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.distill(cmd.Context(), f) },
	}
	f.define(cmd)
	return cmd
}

// define defines the flags.
func (f *distillFlags) define(cmd *cobra.Command) {
	defaults := distill.Recipe{Augmentation: distill.Augmentation{AugmentShare: 0.4, AugmentTop: 15}, Text: distill.Text{MaskedLMProb: 0.15}}.WithDefaults()
	r := &recipeFlags{cmd: cmd, fresh: func() any { return new(distill.Recipe) }, defaults: &defaults, instead: [][]string{
		{"student", "student_layers"}, {"task", "text", "instances"},
	}}
	f.recipe = r
	r.in(modelSection, func(flags *pflag.FlagSet) {
		r.add(flags, "teacher", "learn from the model in `DIR`")
		r.add(flags, "teacher_precision", "number format of the teacher's matrix products", precisions...)
		r.add(flags, "student", "begin with `MODEL`: a folder; or, for random weights, a config.json or a size such as 2x128")
		r.add(flags, "student_layers", "begin with `LAYERS` of the teacher: every-other, or numbers from 0 on between commas")
		r.add(flags, "student_embeddings", "how the embeddings of random weights begin: teacher, the teacher's in fewer dimensions", distill.EmbeddingNames()...)
		r.add(flags, "vocab", "the vocabulary `FILE` of random weights, one token a line (default: the teacher's tokenizer)")
		r.add(flags, "cased", "with --vocab: keep upper case and accents")
		r.add(flags, "precision", "number format of the student's matrix products; everything else is float32", trainPrecisions...)
	})
	r.addTask()
	r.in(dataSection, func(flags *pflag.FlagSet) {
		r.add(flags, "unlabelled", "the training data needs no labels, and is read without")
		r.add(flags, "text", "instead of --task: learn from the lines of `FILES`, between commas")
		r.add(flags, "instances", "instead of --task: learn from the instances in `DIR`")
		r.add(flags, "masked_lm_prob", "mask this `SHARE` of the tokens")
		r.add(flags, "augment", "add `N` copies of each example with other words")
		r.add(flags, "augment_model", "let the masked language model in `DIR` find them (default: the teacher)")
		r.add(flags, "augment_share", "replace a word with `PROBABILITY`")
		r.add(flags, "augment_top", "by one of the `N` most probable")
	})
	r.addFeatures()
	r.in(lossSection, func(flags *pflag.FlagSet) {
		r.add(flags, "label_weight", "the `WEIGHT` of the labels: of text masked words and, of pairs, next sentences")
		r.add(flags, "logit_weight", "the `WEIGHT` of the teacher's answers")
		r.add(flags, "temperature", "divide logits by `T` before they are compared")
		r.add(flags, "hidden_weight", "the `WEIGHT` of hidden states")
		r.add(flags, "attention_weight", "the `WEIGHT` of attention, of as many heads as the teacher has")
		r.add(flags, "attention_of", "compare attention before softmax, or after it", distill.AttentionNames()...)
		r.add(flags, "layer_map", "compare the `LAYERS` uniform, last, or pairs of the student's and the teacher's, as in 0:0,1:3,2:6; 0 is the embeddings")
		r.add(flags, "relation_weight", "the `WEIGHT` of relations")
		r.add(flags, "relations", "compare `PAIRS` of queries, keys and values: qq,kk,vv as MiniLMv2, qk,vv as MiniLM")
		r.add(flags, "relation_layer", "with those of the teacher's layer `N`, from 1 on; 0: the last")
		r.add(flags, "relation_heads", "in `N` parts; 0: as many as the teacher's heads, as far as they divide both widths")
		r.add(flags, "cosine_weight", "the `WEIGHT` of the direction of hidden states")
		r.add(flags, "sentence_weight", "the `WEIGHT` of the vectors of texts, by mean squared error")
		r.add(flags, "sentence_cosine_weight", "the `WEIGHT` of their direction")
	})
	r.addTraining()
	r.addSeed("`SEED` of everything random: drawn examples, new weights, the order of the examples, dropout, other words")
	r.addComputeThreads(&f.options.Threads)
	r.addOutput(&f.options.Output, "write the model, events and checkpoints to `DIR`")
	r.in(outputSection, func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.options.Resume, "resume", false, "go on from the newest checkpoint in --output")
		addOtherKernels(flags, &f.options.AllowOtherKernels)
		addSaveLogits(flags, &f.options.SaveOutcomes)
		flags.StringVar(&f.options.Cache, "cache", "", "keep what the teacher says in `DIR`, for later epochs and other runs")
		flags.Var(&f.most, "cache-size", "the most bytes of --cache, as in 500MB")
	})
	f.out.add(cmd)
	r.addFile()
	r.finish()
	for _, flag := range []string{"teacher", "student", "augment-model"} {
		completeModelName(cmd, flag)
	}
	for _, flag := range []string{"instances", "cache"} {
		_ = cmd.MarkFlagDirname(flag) // the errors are for flags that do not exist
	}
	_ = cmd.MarkFlagFilename("vocab", "txt")
	mainFlags(cmd, "teacher", "student", "student-layers", "task", "data", "text", "output", "logit-weight", "hidden-weight", "learning-rate", "num-train-epochs", "train-batch-size", "resume")
}

// read makes the recipe of the flags.
func (f *distillFlags) read() (distill.Recipe, error) {
	var r distill.Recipe
	if err := f.recipe.apply(&r); err != nil {
		return r, err
	}
	switch {
	case r.Teacher == "":
		return r, usagef("--teacher DIR is missing: want the model to learn from")
	case r.Student == "" && r.StudentLayers == "":
		return r, usagef("neither --student nor --student-layers is given: want a model, a config.json or a size such as 2x128")
	case r.Task == "" && len(r.Files) == 0 && r.Instances == "":
		return r, usagef("neither --task nor --text is given: want data to learn from")
	}
	return r, flagNamed(r.Validate())
}

func (a *app) distill(ctx context.Context, f *distillFlags) error {
	r, err := f.read()
	if err != nil {
		return err
	}
	if f.recipe.print {
		return a.printRecipe(r.WithDefaults())
	}
	if r.Task != "" {
		if _, err := lookupTask(r.Task, r.Path); err != nil {
			return err
		}
	}
	if f.options.Output == "" {
		return usagef("--output DIR is missing: want the folder to write to")
	}
	if err := checkThreads(f.options.Threads); err != nil {
		return err
	}
	o := f.options
	o.CacheBytes, o.Stdin = int64(f.most), a.stdin
	o.Resolve = func(ctx context.Context, name string) (string, error) {
		path, err := a.modelPath(f.recipe.cmd, name, true)
		var unknown *hub.NotFoundError
		if errors.As(err, &unknown) {
			return "", explainUnknown(unknown)
		}
		return path, err
	}
	progress := a.newProgress()
	defer progress.close()
	o.Progress = progress.augmented()
	stepwise, cancel := a.untilInterruptedStep(ctx)
	defer cancel()
	job, err := r.Prepare(stepwise, o)
	var output *train.OutputError
	switch {
	case errors.As(err, &output) && output.Begun:
		return usagef("--output is the folder of --teacher or --student: want another one")
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted before the run began: nothing was written")
	case err != nil:
		return prepareError(err)
	}
	defer job.Close() // the model is saved by then
	a.describeDistillation(job)

	if t := job.Task(); t != nil {
		spec := t.Parts().Spec
		_, progress.official = spec.MetricNames()
	}
	result, err := job.Run(stepwise, progress.event)
	progress.close()
	if err != nil {
		if err = a.explain(err, job.Output()); err == nil { // the run had ended, perhaps without its page
			a.writeReport(job.Output())
		}
		return err
	}
	a.writeReport(job.Output())
	if result.Evaluation != nil {
		if err := f.out.printResult(a, result.Evaluation); err != nil {
			return err
		}
	}
	a.log.Info("saved in " + job.Output())
	model := quoteArgument(job.Output())
	switch t := job.Task(); {
	case t == nil:
		a.log.Info(fmt.Sprintf("next: bert encode --model %s %q, or bert finetune --model %s", model, "a text", model))
	case t.Parts().Spec.Kind.InputJSON() != "":
		spec := t.Parts().Spec
		a.log.Info("next: echo " + quoteArgument(spec.Kind.InputJSON()) + " | bert predict --model " + model)
	default:
		a.log.Info(fmt.Sprintf("next: bert predict --model %s %q", model, "a text"))
	}
	return nil
}

// describeDistillation says on stderr who learns what from whom.
func (a *app) describeDistillation(job *distill.Job) {
	r := job.Recipe()
	a.log.Info(fmt.Sprintf("teacher: %s", modelLine(job.Teacher(), "from "+r.Teacher)))
	for _, note := range job.Teacher().Report().Assumed {
		a.warnOnce("the teacher: " + note)
	}
	from := "random weights"
	switch {
	case r.StudentLayers != "":
		from = "layers " + r.StudentLayers + " of the teacher"
	case job.Begun():
		from = "weights from " + r.Student
	case r.Embeddings == distill.TeacherEmbeddings:
		from += ", the teacher's embeddings"
	}
	a.describeModel(job.Student(), from)
	a.log.Info("losses by weight: " + strings.Join(job.Terms(), ", "))
	t := job.Task()
	if t == nil {
		training, held := job.Lines()
		a.log.Info(fmt.Sprintf("text: %s to learn from, %s held out to evaluate on", count(training, "sequence"), count(held, "sequence")))
		return
	}
	a.warnJob(t)
	p := t.Parts()
	a.describeData("training data", p.Train)
	if p.Eval == nil {
		a.log.Warn("no evaluation data: nothing will say how good the model is (--eval-data or --validation-share)")
		return
	}
	a.describeData("evaluation data", p.Eval)
}

// augmented shows how far an augmentation is.
func (p *progress) augmented() func(done, all int) {
	last := time.Now()
	return func(done, all int) {
		if now := time.Now(); now.Sub(last) > 10*time.Second || done == all {
			last = now
			p.app.log.Info(fmt.Sprintf("finding other words: %s of %s examples", thousands(done), thousands(all)))
		}
	}
}
