package distill

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// prepareTask makes a fine-tuning of the student with the teacher's objective.
func (j *Job) prepareTask(ctx context.Context) error {
	r := &j.recipe
	if !r.weighted() {
		r.LogitWeight = 1
	}
	f := finetune.Recipe{Data: r.Data, Training: r.Training}
	f.Dir = cmp.Or(j.student.dir, j.dir) // whose tokenizer it is, for errors
	t, err := task.Lookup(r.Task)
	if err != nil {
		return recipe.Wrong(r, "task", "one of "+strings.Join(task.Names(), ", "))
	}
	if r.ProblemType != nil {
		if err := t.SetKind(*r.ProblemType); err != nil {
			return &recipe.Error{Key: "problem_type", Err: err}
		}
	}
	if t.Kind.Head() == bert.NoHead {
		return recipe.Wrong(r, "task", "a task that a model answers")
	}
	if err := j.loadTeacher(ctx, t.Kind.Head()); err != nil {
		return err
	}
	if t.HasLabels() && t.Labels == nil && r.Labels == nil && (r.Unlabelled || !unnamed(j.config.Labels)) {
		f.Labels = j.config.Labels // so that data without labels, or without some, will do
	}
	config := j.student.config
	config.Labels = j.config.Labels // the order of those in the data
	if err := j.describe(); err != nil {
		return err
	}
	start := finetune.Start{
		Fingerprint: j.print, Unlabelled: r.Unlabelled, Config: config, Tokenizer: j.student.tokenizer, Recipe: r,
		Model: func(ctx context.Context, d *task.Spec) (*bert.Model, error) {
			return j.makeStudent(ctx, bert.Options{Head: d.Kind.Head(), NewHead: true, Labels: d.Labels, ProblemType: d.Kind.ProblemType()})
		},
		Objective: j.taskObjective,
	}
	o := j.options
	j.task, err = f.PrepareFrom(ctx, finetune.Options{
		Output: o.Output, Resume: o.Resume, Threads: o.Threads, AllowOtherKernels: o.AllowOtherKernels, Stdin: o.Stdin, SaveOutcomes: o.SaveOutcomes,
	}, start)
	return err
}

// taskObjective is the objective of a task, and the data to train on.
func (j *Job) taskObjective(ctx context.Context, p *finetune.Parts) (train.Objective, finetune.TrainingData, error) {
	if n := p.Spec.MaxSeqLength; n > j.config.MaxPositionEmbeddings {
		return nil, nil, &recipe.Error{
			Key: "max_seq_length", Value: fmt.Sprint(n), Reason: fmt.Sprintf("the teacher has %d positions", j.config.MaxPositionEmbeddings), Want: "at most that",
		}
	}
	if j.recipe.LabelWeight > 0 && !p.Train.Labelled() {
		return nil, nil, recipe.Wrong(&j.recipe, "label_weight", "0 for data without labels")
	}
	m := &models{}
	var err error
	if c := p.Model.Config(); p.Model.Head() == bert.SequenceClassification || p.Model.Head() == bert.TokenClassification {
		if a, b := j.config.Problem(), c.Problem(); a != b {
			return nil, nil, fmt.Errorf("the teacher answers a %v, and the task is a %v", a, b)
		}
		if m.columns, err = columns(j.config.Labels, c.Labels); err != nil {
			return nil, nil, err
		}
	}
	if j.pieces != nil {
		if err := j.pieces.check(p.Train); err != nil {
			return nil, nil, err
		}
	}
	data := finetune.TrainingData(p.Train)
	if j.recipe.Copies > 0 {
		if data, err = j.augment(ctx, data); err != nil {
			return nil, nil, err
		}
	}
	if err := j.learn(p.Model, m); err != nil {
		return nil, nil, err
	}
	return j.objective, data, nil
}

// columns are the places of a student's labels among the teacher's; nil where both have them in the same order. Labels without names of
// their own, as LABEL_0, are in the order of the student's.
func columns(teacher, student []string) ([]int, error) {
	if slices.Equal(teacher, student) {
		return nil, nil
	}
	differ := fmt.Errorf("the teacher's labels are %s, the task's %s: want a teacher of the same task", strings.Join(teacher, ", "), strings.Join(student, ", "))
	if len(teacher) != len(student) {
		return nil, differ
	}
	if unnamed(teacher) {
		return nil, nil
	}
	var list []int
	for _, name := range student {
		i := slices.Index(teacher, name)
		if i < 0 {
			return nil, differ
		}
		list = append(list, i)
	}
	return list, nil
}

// unnamed says that labels have the names of those that were given none.
func unnamed(labels []string) bool {
	for i, name := range labels {
		if name != fmt.Sprintf("LABEL_%d", i) {
			return false
		}
	}
	return true
}

// augment adds copies of the data's examples.
func (j *Job) augment(ctx context.Context, d finetune.TrainingData) (_ finetune.TrainingData, err error) {
	name, p := j.recipe.AugmentModel, j.pieces
	dir := j.dir
	if name != "" {
		if dir, err = j.resolve(ctx, name); err != nil {
			return nil, err
		}
		tok, err := tokenizer.Load(bert.TokenizerDir(dir, ""))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p = newPieces(j.student.tokenizer, tok)
	}
	m, err := bert.Load(ctx, dir, bert.Options{Threads: j.options.Threads, Head: bert.MaskedLM, Device: j.device(bert.Float32)})
	if err != nil {
		what := "the teacher can't fill masks: name a model that can (augment_model)"
		if name != "" {
			what = name + " can't fill masks"
		}
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	id, err := digest(m)
	if err != nil {
		return nil, err
	}
	j.print["augment_model"] = hex.EncodeToString(id[:8])
	if p != nil {
		if err := p.check(d); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return augment(ctx, &j.recipe, d, m, p, j.student.tokenizer, j.options.Progress)
}
